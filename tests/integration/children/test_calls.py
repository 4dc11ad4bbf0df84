"""Calls of real child processes, and how they fail: the server process goes on in any case."""

import os
import signal
import struct
import threading
import time
from pathlib import Path

import anyio
import pytest
import structlog
from anyio.lowlevel import checkpoint

from service.core.errors import (
    ChildLostError,
    ChildRaisedError,
    ChildTimeoutError,
    ContractViolationError,
    ServiceError,
    SourceUnavailableError,
)
from service.processes.child import Child
from service.processes.protocol import Nothing
from tests.support.child_targets import Data, Number, Text
from tests.support.children import (
    ALL_LOOPS,
    CALL_S,
    GONE_WITHIN_S,
    LARGE,
    a_child,
    posix_only,
)
from tests.support.waiting import is_gone, until

pytestmark = ALL_LOOPS


def threads_of(child: Child) -> list[str]:
    """Name the threads that still wait for something of a child's."""
    return [one.name for one in threading.enumerate() if one.name.startswith(child.name)]


async def test_a_child_is_warm_once_it_is_started_and_answers_calls(tmp_path: Path) -> None:
    """It is a process of its own, called with its arguments, in an environment of its own."""
    async with a_child(tmp_path, arguments=b"given") as child:
        pid = await child.call("pid", Nothing(), Number, timeout_s=CALL_S)
        assert pid.number == child.pid != os.getpid()
        assert (await child.call("arguments", Nothing(), Data, timeout_s=CALL_S)).data == b"given"
        for variable, value in (("SET_FOR_IT", "yes"), ("TMPDIR", str(tmp_path))):
            told = await child.call("environment", Text(variable), Text, timeout_s=CALL_S)
            assert told.text == value
        before = child.last_seen
        await child.ping(CALL_S)
        assert child.last_seen > before
    assert is_gone(child.pid)


@pytest.mark.parametrize(
    ("how", "error", "message"),
    [
        ("unknown class", ChildRaisedError, "OnlyHereError: only here"),
        ("silent", ChildRaisedError, "SilentError"),
        ("surrogate", ChildRaisedError, r"ValueError: no UTF-8: \\udcff"),
        ("exit", ChildRaisedError, "SystemExit: 3"),
        ("ours", SourceUnavailableError, "the registry is down"),
        ("contract", ContractViolationError, "expected a number, got a string"),
    ],
)
async def test_errors_come_back_as_plain_data(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    how: str,
    error: type[ServiceError],
    message: str,
) -> None:
    """Nothing is unpickled here, and the child lives on."""
    monkeypatch.chdir(tmp_path)
    async with a_child(tmp_path) as child:
        with pytest.raises(error, match=message) as raised:
            await child.call("fail", Text(how), Nothing, timeout_s=CALL_S)
        assert type(raised.value) is error
        if isinstance(raised.value, ChildRaisedError):
            assert "child_targets.py" in raised.value.detail
        await child.ping(CALL_S)
    assert not (tmp_path / "unpickled-in-the-server").exists()


async def test_an_answer_that_cannot_travel_is_an_error_of_that_call(tmp_path: Path) -> None:
    """The child lives on."""
    async with a_child(tmp_path) as child:
        with pytest.raises(ChildRaisedError, match="object"):
            await child.call("unencodable", Nothing(), Nothing, timeout_s=CALL_S)
        await child.ping(CALL_S)


async def test_a_call_that_cannot_travel_leaves_the_child_free_for_the_next(tmp_path: Path) -> None:
    """The error is that call's alone."""
    async with a_child(tmp_path) as child:
        with pytest.raises(OverflowError):
            await child.call("sleep", {"number": 2**70}, Nothing, timeout_s=CALL_S)
        await child.ping(CALL_S)


async def test_a_call_past_its_deadline_ends_the_child(tmp_path: Path) -> None:
    """It can't be known what state it is in."""
    async with a_child(tmp_path) as child:
        began = time.monotonic()
        with pytest.raises(ChildTimeoutError, match=r"sleep within 0\.2 s"):
            await child.call("sleep", Number(60), Nothing, timeout_s=0.2)
        assert time.monotonic() - began < 2
        assert not child.is_alive
        await until(lambda: is_gone(child.pid), GONE_WITHIN_S)
        with pytest.raises(ChildLostError):
            await child.ping(CALL_S)


async def test_large_frames_travel_both_ways(tmp_path: Path) -> None:
    """8 MB is far more than a pipe holds, and holds up nobody meanwhile."""
    async with a_child(tmp_path) as child:
        echoed = await child.call("echo", Data(LARGE), Data, timeout_s=CALL_S)
        assert echoed.data == LARGE
        await child.ping(CALL_S)


@posix_only
async def test_a_child_that_does_not_read_a_large_frame_is_ended_at_the_deadline(
    tmp_path: Path,
) -> None:
    """What sends the rest is not left hanging either."""
    async with a_child(tmp_path) as child:
        os.kill(child.pid, signal.SIGSTOP)
        with anyio.fail_after(GONE_WITHIN_S), pytest.raises(ChildTimeoutError):
            await child.call("echo", Data(LARGE), Data, timeout_s=0.3)
    assert threads_of(child) == []


@pytest.mark.parametrize("size", [100, len(LARGE)])
@posix_only
async def test_a_cancelled_call_ends_the_child(tmp_path: Path, size: int) -> None:
    """Between sending and answer as well as while a large frame is sent."""
    async with a_child(tmp_path) as child:
        os.kill(child.pid, signal.SIGSTOP)
        with anyio.fail_after(GONE_WITHIN_S):
            with anyio.move_on_after(0.2) as scope:
                await child.call("echo", Data(LARGE[:size]), Data, timeout_s=CALL_S)
            assert scope.cancelled_caught
            assert not child.is_alive
            await child.lost.wait()
    assert threads_of(child) == []


async def test_a_child_answers_a_second_call_after_the_first(tmp_path: Path) -> None:
    """In order, whatever their size; the time that the first takes is not the second one's.

    A third is a defect of ours, and changes nothing for the others.
    """
    ended: list[str] = []

    async with a_child(tmp_path) as child, anyio.create_task_group() as calls:

        async def first() -> None:
            await child.call("sleep", Number(1.5), Nothing, timeout_s=CALL_S)
            ended.append("first")

        async def second() -> None:
            echoed = await child.call("echo", Data(LARGE), Data, timeout_s=1.0)
            assert echoed.data == LARGE
            ended.append("second")

        calls.start_soon(first)
        await checkpoint()
        calls.start_soon(second)
        await checkpoint()
        with pytest.raises(RuntimeError, match="has 2 calls already"):
            await child.ping(CALL_S)
    assert ended == ["first", "second"]


@pytest.mark.parametrize("how", ["kill", "time"])
async def test_both_calls_are_lost_with_their_child(tmp_path: Path, how: str) -> None:
    """Killed, or ended since the first one took too long; the second one did not."""
    told: list[type[Exception]] = []

    async def ask(seconds: float, timeout_s: float) -> None:
        try:
            await child.call("sleep", Number(seconds), Nothing, timeout_s=timeout_s)
        except (ChildLostError, ChildTimeoutError) as error:
            told.append(type(error))

    async with a_child(tmp_path) as child, anyio.create_task_group() as calls:
        calls.start_soon(ask, 60.0, CALL_S if how == "kill" else 0.5)
        await checkpoint()
        calls.start_soon(ask, 60.0, 0.1)
        await checkpoint()
        if how == "kill":
            child.kill()
    assert told == [ChildLostError if how == "kill" else ChildTimeoutError, ChildLostError]


def framed_bytes(message: bytes) -> bytes:
    """Return a message as it goes through a pipe."""
    return struct.pack("!i", len(message)) + message


@posix_only
@pytest.mark.parametrize(
    "sent",
    [
        pytest.param(struct.pack("!i", -2), id="a size below zero"),
        pytest.param(struct.pack("!iQ", -1, 2**62), id="a size beyond all"),
        pytest.param(framed_bytes(b"\xc1"), id="no message"),
        pytest.param(framed_bytes(b"\x93\x01\xc3" + b"\x91" * 100_000), id="nested too deep"),
        pytest.param(framed_bytes(b"\x93\xcd\x30\x39\xc3\xc0"), id="another call's answer"),
        pytest.param(framed_bytes(b"\x93\x01\xc3\xc7\x01\x05x"), id="an extension type"),
        pytest.param(framed_bytes(b"\x93\x01\xc2\xa4nope"), id="a fault that is none"),
    ],
)
async def test_whatever_bytes_a_child_sends_end_that_child_alone(
    tmp_path: Path, sent: bytes
) -> None:
    """The call under way is lost immediately; the loop goes on, and so does another child."""
    async with a_child(tmp_path, name="sane") as sane, a_child(tmp_path) as child:
        with pytest.raises(ChildLostError), anyio.fail_after(CALL_S / 2):
            await child.call("send", Data(sent), Nothing, timeout_s=CALL_S)
        await until(lambda: is_gone(child.pid), GONE_WITHIN_S)
        assert await sane.call("echo", Data(b"x"), Data, timeout_s=CALL_S) == Data(b"x")


async def test_what_a_child_prints_is_logged_with_its_fields(tmp_path: Path) -> None:
    """From Python and from below it, on both streams."""
    with structlog.testing.capture_logs() as logs:
        async with a_child(tmp_path) as child:
            await child.call("say", Text("hello"), Nothing, timeout_s=CALL_S)
    said = [line for line in logs if line["event"] in {"hello", "written below Python"}]
    assert [line["event"] for line in said] == ["hello", "hello", "written below Python"]
    assert all((line["child"], line["version"]) == ("tested", "7") for line in said)
    assert child.last_lines[-3:] == ("hello", "hello", "written below Python")
