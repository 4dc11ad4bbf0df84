"""Real child processes: whatever they do, the front can end them and goes on."""

import asyncio
import contextlib
import ctypes
import os
import signal
import struct
import subprocess
import sys
import sysconfig
import threading
import time
import venv
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from multiprocessing import forkserver
from pathlib import Path
from typing import ClassVar

import anyio
import msgspec
import psutil
import pytest
import structlog
from anyio.lowlevel import checkpoint

from service.core.errors import (
    ChildLostError,
    ChildRaisedError,
    ChildStartError,
    ChildTimeoutError,
    ContractViolationError,
    ServiceError,
    SourceUnavailableError,
)
from service.processes import child as child_module
from service.processes import launch as launch_module
from service.processes import progress
from service.processes.child import Child, ChildSpec, ChildThreads, start_child
from service.processes.protocol import Nothing
from service.processes.temp import TempFolder
from tests.support.child_targets import ERRORS, Data, Number, Text
from tests.support.loops import BY_COMMAND, ByCommandLoop
from tests.support.waiting import is_gone, until

ROOT = Path(__file__).parents[2]
START_S = 60.0
CALL_S = 20.0
GONE_WITHIN_S = 5.0
LARGE = bytes(range(256)) * (8 * 2**20 // 256)

pytestmark = pytest.mark.loops("uvloop", "asyncio", "without readers", BY_COMMAND)
"""All ways of reading replies, and both of starting a child. Windows' loop has no readers."""
only_linux = pytest.mark.skipif(sys.platform != "linux", reason="marks and a fork server")
once = pytest.mark.loops("uvloop", BY_COMMAND)
forked = pytest.mark.loops("uvloop")
by_command = pytest.mark.loops(BY_COMMAND)
posix_only = pytest.mark.skipif(sys.platform == "win32", reason="POSIX signals and descriptors")


@pytest.fixture(scope="session", autouse=True)
def short_temp_dir(tmp_path_factory: pytest.TempPathFactory) -> None:
    """Put nothing of these tests' fork server anywhere else."""
    TempFolder(tmp_path_factory.mktemp("children")).use()


@pytest.fixture(autouse=True)
async def chosen_interpreter(
    request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Start children by command line, with an interpreter of their own, where the loop says so."""
    if isinstance(asyncio.get_running_loop(), ByCommandLoop):
        found: Path = request.getfixturevalue("another_interpreter")
        monkeypatch.setattr(Interpreter, "chosen", found)
        # Where what these children run is: it is in no environment.
        monkeypatch.setenv("PYTHONPATH", str(ROOT))


class Interpreter:
    """Which one the children of a test have; None for the fork server's."""

    chosen: ClassVar[Path | None] = None


@pytest.fixture(scope="session")
def another_interpreter(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Make an environment of its own, which has what ours has, except for `service`."""
    return make_environment(tmp_path_factory.mktemp("environment"), sysconfig.get_path("purelib"))


def make_environment(folder: Path, *packages: str) -> Path:
    """Make a virtual environment that finds these packages, and return its interpreter."""
    venv.create(folder, with_pip=False, symlinks=True)
    (own,) = folder.glob("lib/python*/site-packages")
    (own / "packages.pth").write_text("\n".join(packages))
    return folder / "bin" / "python"


def framed_bytes(message: bytes) -> bytes:
    """Return a message as it goes through a pipe."""
    return struct.pack("!i", len(message)) + message


def threads_of(child: Child) -> list[str]:
    """Name the threads that still wait for something of a child's."""
    return [one.name for one in threading.enumerate() if one.name.startswith(child.name)]


@asynccontextmanager
async def a_child(
    temp_dir: Path, target: str = "operations", arguments: bytes = b"", name: str = "tested"
) -> AsyncIterator[Child]:
    """Start a child and end it afterwards."""
    spec = ChildSpec(
        f"tests.support.child_targets:{target}",
        name,
        arguments,
        temp_dir,
        environment={"SET_FOR_IT": "yes"},
        log_fields={"version": "7"},
        errors=ERRORS,
        interpreter=Interpreter.chosen,
    )
    child = await start_child(spec, ChildThreads(), START_S)
    try:
        yield child
    finally:
        await child.end()


def fork_server() -> int:
    """Return the fork server's process."""
    pid = forkserver._forkserver._forkserver_pid  # type: ignore[attr-defined]
    assert isinstance(pid, int)
    return pid


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
    assert not (tmp_path / "unpickled-in-the-front").exists()


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


async def test_a_child_that_ends_in_a_call_tells_its_last_lines(tmp_path: Path) -> None:
    """They often are all that is known."""
    async with a_child(tmp_path) as child:
        with pytest.raises(ChildLostError) as lost:
            await child.call("end", Text("out of luck"), Nothing, timeout_s=CALL_S)
        assert child.lost.is_set()
        await child.end()
        assert lost.value.last_lines[-2:] == ("one line", "out of luck")


async def test_a_child_that_is_killed_between_calls_is_noticed(tmp_path: Path) -> None:
    """Nobody has to call it for that."""
    async with a_child(tmp_path) as child:
        psutil.Process(child.pid).kill()
        with anyio.fail_after(GONE_WITHIN_S):
            await child.lost.wait()


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


@pytest.mark.parametrize("ends", ["well", "fail"])
async def test_other_calls_are_answered_between_the_steps_of_one(tmp_path: Path, ends: str) -> None:
    """As many as come, of any size; what fails between two steps is its own failure alone."""
    file = tmp_path / "end"
    told: list[str] = []

    async def chunked() -> None:
        try:
            reply = await child.call("steps", Text(str(file)), Text, timeout_s=CALL_S, chunked=True)
        except ContractViolationError as error:
            told.append(error.expected)
        else:
            told.append(reply.text.split()[1])

    async with a_child(tmp_path) as child, anyio.create_task_group() as calls:
        calls.start_soon(chunked)
        await checkpoint()
        for _ in range(3):
            assert (await child.call("echo", Data(LARGE), Data, timeout_s=CALL_S)).data == LARGE
            with pytest.raises(SourceUnavailableError):
                await child.call("fail", Text("ours"), Nothing, timeout_s=CALL_S)
            await child.ping(CALL_S)
        assert told == []
        with pytest.raises(RuntimeError, match="has 1 calls already"):
            await child.call("steps", Text(""), Text, timeout_s=CALL_S, chunked=True)
        file.write_text(ends)
    assert told == ["steps" if ends == "well" else "no failure"]


@posix_only
async def test_the_cpu_is_offered_between_steps(tmp_path: Path) -> None:
    """Whoever answers small requests may be waiting for it."""
    async with a_child(tmp_path) as child:
        offered = await child.call("offers", Number(7), Number, timeout_s=CALL_S, chunked=True)
    assert offered.number == 7


async def test_a_call_between_steps_has_a_time_of_its_own(tmp_path: Path) -> None:
    """It does not begin with the end of what goes in steps, which is lost with the child."""
    told: list[type[Exception]] = []

    async def chunked() -> None:
        try:
            await child.call("steps", Text("nowhere"), Text, timeout_s=CALL_S, chunked=True)
        except ChildLostError as error:
            told.append(type(error))

    async with a_child(tmp_path) as child, anyio.create_task_group() as calls:
        calls.start_soon(chunked)
        await checkpoint()
        with pytest.raises(ChildTimeoutError):
            await child.call("sleep", Number(60), Nothing, timeout_s=0.2)
    assert told == [ChildLostError]


async def test_what_goes_in_steps_ends_with_its_own_time(tmp_path: Path) -> None:
    """However many others are answered meanwhile."""
    async with a_child(tmp_path) as child, anyio.create_task_group() as calls:

        async def others() -> None:
            with contextlib.suppress(ChildLostError):
                while True:
                    await child.ping(CALL_S)

        calls.start_soon(others)
        with pytest.raises(ChildTimeoutError, match=r"no answer to steps within 0\.5 s"):
            await child.call("steps", Text("nowhere"), Text, timeout_s=0.5, chunked=True)


@posix_only
async def test_a_child_leaves_the_groups_signals_to_the_front(tmp_path: Path) -> None:
    """Ctrl-C and a service manager's SIGTERM reach every process of the group."""
    async with a_child(tmp_path) as child:
        await child.call("signal_group", Nothing(), Nothing, timeout_s=CALL_S)
        assert os.getpgid(child.pid) != os.getpgid(0)
        await child.ping(CALL_S)


@posix_only
async def test_what_a_child_has_started_ends_with_it(tmp_path: Path) -> None:
    """A model's own helper processes hold its memory and its files."""
    async with a_child(tmp_path) as child:
        grandchild = await child.call("start_grandchild", Nothing(), Number, timeout_s=CALL_S)
    await until(lambda: is_gone(int(grandchild.number)), GONE_WITHIN_S)


METHODS = ("fork", "spawn", "forkserver")


async def _started(child: Child, how: str) -> str:
    """Have a child start processes in one of the ways, and return what it tells of them."""
    reply = await child.call("start_processes", Text(how), Text, timeout_s=CALL_S)
    return reply.text


@only_linux
@once
async def test_a_child_may_have_processes_of_its_own(tmp_path: Path) -> None:
    """By each way in which multiprocessing starts them; they print and can be terminated."""
    with structlog.testing.capture_logs() as logs:
        async with a_child(tmp_path) as child:
            for method in METHODS:
                assert await _started(child, f"pool:{method}") == "[1, 2]"
                assert await _started(child, f"executor:{method}") == "[1, 2]"
                assert await _started(child, f"prints:{method}") == "0"
                assert await _started(child, f"terminated:{method}") == str(-signal.SIGTERM)
    said = [line for line in logs if line["event"] == "from below"]
    assert [line["version"] for line in said] == ["7"] * len(METHODS)


WAYS = ("session", "daemon", *(f"stays:{method}" for method in METHODS))


@only_linux
@pytest.mark.parametrize("how", ["end", "kill"])
async def test_all_that_a_child_has_started_ends_with_it(tmp_path: Path, how: str) -> None:
    """In a session of its own, too, or once it has lost its parent; and nobody waits for it."""
    async with a_child(tmp_path) as child:
        started = [int(await _started(child, way)) for way in WAYS]
        semaphore = Path("/dev/shm") / f"sem.{(await _started(child, 'semaphore:spawn'))[1:]}"  # noqa: S108
        assert semaphore.exists()
        if how == "kill":
            os.kill(child.pid, signal.SIGKILL)
            with anyio.fail_after(1):
                await child.lost.wait()
            await child.end()
    assert [pid for pid in started if not is_gone(pid)] == []
    assert not semaphore.exists()


@only_linux
async def test_what_a_child_forks_answers_nothing(tmp_path: Path) -> None:
    """Whatever it raises: the child alone goes on answering."""
    async with a_child(tmp_path) as child:
        forked = await child.call("fork_and_raise", Nothing(), Number, timeout_s=CALL_S)
        await child.ping(CALL_S)
        await until(lambda: is_gone(int(forked.number)), GONE_WITHIN_S)
        for _ in range(20):
            pid = await child.call("pid", Nothing(), Number, timeout_s=CALL_S)
            assert pid.number == child.pid


async def test_what_a_child_prints_is_logged_with_its_fields(tmp_path: Path) -> None:
    """From Python and from below it, on both streams."""
    with structlog.testing.capture_logs() as logs:
        async with a_child(tmp_path) as child:
            await child.call("say", Text("hello"), Nothing, timeout_s=CALL_S)
    said = [line for line in logs if line["event"] in {"hello", "written below Python"}]
    assert [line["event"] for line in said] == ["hello", "hello", "written below Python"]
    assert all((line["child"], line["version"]) == ("tested", "7") for line in said)
    assert child.last_lines[-3:] == ("hello", "hello", "written below Python")


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


async def test_a_child_that_breaks_at_start_says_how(tmp_path: Path) -> None:
    """Its last lines are in the error."""
    with pytest.raises(ChildStartError, match="broken at start"):
        async with a_child(tmp_path, "broken"):
            pass


async def test_a_child_that_does_not_become_warm_is_ended(tmp_path: Path) -> None:
    """START_TIMEOUT_S is the limit."""
    spec = ChildSpec(
        "tests.support.child_targets:slow_to_warm",
        "slow",
        b"",
        tmp_path,
        interpreter=Interpreter.chosen,
    )
    children: list[Child] = []

    class Seen(Child):
        def __init__(self, spec: ChildSpec, threads: ChildThreads) -> None:
            super().__init__(spec, threads)
            children.append(self)

    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(child_module, "Child", Seen)
        with pytest.raises(ChildStartError, match=r"no answer to start within 0\.2 s"):
            await start_child(spec, ChildThreads(), 0.2)
    assert is_gone(children[0].pid)


@forked
@posix_only
async def test_a_start_that_is_given_up_leaves_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Neither while it runs, which it does to its end, nor while it waits for another's."""
    go_on, begun = threading.Event(), threading.Event()
    started: list[int] = []
    launch = launch_module.launch

    def slowly(*arguments: object) -> object:
        begun.set()
        go_on.wait(CALL_S)
        process = launch(*arguments)  # type: ignore[arg-type]
        started.append(process.pid or 0)
        return process

    async with a_child(tmp_path):
        pass
    before = counted()
    monkeypatch.setattr(child_module, "launch", slowly)
    threads = ChildThreads()
    spec = ChildSpec("tests.support.child_targets:operations", "unwanted", b"", tmp_path)

    async def use_one() -> None:
        # Warm before the cancellation is delivered, it is given to who asked for it.
        child = await start_child(spec, threads, START_S)
        try:
            await anyio.sleep_forever()
        finally:
            await child.end()

    async with anyio.create_task_group() as starts:
        starts.start_soon(use_one)
        starts.start_soon(use_one)
        await until(begun.is_set, GONE_WITHIN_S)
        starts.cancel_scope.cancel()
        go_on.set()
    assert len(started) == 1
    assert is_gone(started[0])
    await until(lambda: counted() == before, GONE_WITHIN_S)


@forked
@posix_only
async def test_children_outlive_their_fork_server_and_new_ones_can_be_started(
    tmp_path: Path,
) -> None:
    """A child's health is its pipe, and the next start makes a new fork server."""
    async with a_child(tmp_path, name="old") as old:
        started = await _started(old, "daemon") if sys.platform == "linux" else None
        server = fork_server()
        os.kill(server, signal.SIGKILL)
        await until(lambda: is_gone(server), GONE_WITHIN_S)
        await old.ping(CALL_S)
        async with a_child(tmp_path, name="new") as new:
            await new.ping(CALL_S)
            await old.ping(CALL_S)
        assert fork_server() != server
    assert is_gone(old.pid)
    assert started is None or is_gone(int(started))


@only_linux
@forked
async def test_a_fork_server_that_hangs_is_replaced(tmp_path: Path) -> None:
    """By a start that it does not do in time; one that is given up meanwhile ends soon."""
    async with a_child(tmp_path):
        hanging = fork_server()
    os.kill(hanging, signal.SIGSTOP)
    with anyio.fail_after(GONE_WITHIN_S), anyio.move_on_after(0.2):
        await start_child(_spec(tmp_path), ChildThreads(), START_S)
    assert is_gone(hanging)
    async with a_child(tmp_path) as child:
        hanging = fork_server()
        os.kill(hanging, signal.SIGSTOP)
        another = await start_child(_spec(tmp_path), ChildThreads(), 2.0)
        assert is_gone(hanging)
        assert fork_server() != hanging
        await child.ping(CALL_S)
        await another.end()


@only_linux
@once
async def test_a_child_that_stands_still_in_long_work_is_ended(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One that computes is left alone, however long it takes."""
    monkeypatch.setattr(progress, "LOOK_S", 0.05)
    async with a_child(tmp_path) as child, anyio.create_task_group() as work:
        work.start_soon(progress.end_if_it_stands_still, child, 0.5)
        await child.call("compute", Number(1.5), Nothing, timeout_s=CALL_S)
        os.kill(child.pid, signal.SIGSTOP)
        with anyio.fail_after(GONE_WITHIN_S), pytest.raises(ChildLostError):
            await child.call("compute", Number(60), Nothing, timeout_s=CALL_S)


def _spec(temp_dir: Path) -> ChildSpec:
    return ChildSpec("tests.support.child_targets:operations", "another", b"", temp_dir)


def counted() -> tuple[int, int]:
    """Return how many files this process has open, and how many processes it has."""
    this = psutil.Process()
    return this.num_fds(), len(this.children(recursive=True))


@posix_only
async def test_nothing_is_left_of_children_that_have_ended(tmp_path: Path) -> None:
    """Twenty times: ended idle, killed in a call, ended by themselves."""

    async def one(ending: int) -> None:
        async with a_child(tmp_path) as child:
            if ending == 1:
                with pytest.raises(ChildTimeoutError):
                    await child.call("sleep", Number(60), Nothing, timeout_s=0.01)
            elif ending == 2:
                with pytest.raises(ChildLostError):
                    await child.call("end", Text("bye"), Nothing, timeout_s=CALL_S)

    for ending in range(3):
        await one(ending)
    files, processes = counted()

    def nothing_is_left() -> bool:
        # Not equal: what earlier tests left may still have been on its way out when it was counted.
        files_now, processes_now = counted()
        return files_now <= files and processes_now <= processes and reader_threads() == 0

    for number in range(20):
        await one(number % 3)
    await until(nothing_is_left, GONE_WITHIN_S)


def reader_threads() -> int:
    """Return how many threads read from children."""
    return sum(thread.name.endswith("-reader") for thread in threading.enumerate())


@posix_only
@pytest.mark.parametrize("started", ["by the fork server", "by command line"])
def test_children_end_with_a_front_that_is_killed(
    tmp_path: Path, started: str, another_interpreter: Path
) -> None:
    """Even one that holds its GIL in C code, and the fork server."""
    by_command = started == "by command line"
    interpreter = [str(another_interpreter)] if by_command else []
    with subprocess.Popen(
        [sys.executable, "-m", "tests.support.front", str(tmp_path), *interpreter],
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        stdout=subprocess.PIPE,
        text=True,
    ) as front:
        try:
            assert front.stdout is not None
            told = next(line for line in front.stdout if line.startswith("pids "))
            pids = [int(pid) for pid in told.split()[1:]]
            assert len(pids) == 2 + (not by_command)
            processes = [psutil.Process(pid) for pid in pids]
        finally:
            front.kill()
        _, alive = psutil.wait_procs(processes, timeout=GONE_WITHIN_S)
    assert [process for process in alive if process.status() != psutil.STATUS_ZOMBIE] == []


TARGET = """
import ctypes, os, sys
import msgspec, service
from tests_words import Told


def operations(_):
    def tell(_):
        dumpable = ctypes.CDLL(None).prctl(3, 0, 0, 0, 0)
        return Told(sys.prefix, service.__file__, sys.path, os.getcwd(), dumpable)
    return {"tell": (msgspec.Raw, tell)}
"""
WORDS = """
import msgspec


class Told(msgspec.Struct):
    prefix: str
    service: str
    path: list[str]
    folder: str
    dumpable: int
"""


class Told(msgspec.Struct):
    """What a child says of where it runs."""

    prefix: str
    service: str
    path: list[str]
    folder: str
    dumpable: int


@by_command
@only_linux
async def test_another_interpreter_gets_our_code_and_nothing_else_of_ours(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, another_interpreter: Path
) -> None:
    """Its packages are its own; and nobody reads what it was told, as in any child."""
    (tmp_path / "own_target.py").write_text(TARGET)
    (tmp_path / "tests_words.py").write_text(WORDS)
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    monkeypatch.chdir(tmp_path)
    spec = ChildSpec(
        "own_target:operations",
        "elsewhere",
        b"given",
        tmp_path,
        environment={"TOLD_IN_SECRET": "s3cret"},
        interpreter=another_interpreter,
    )
    child = await start_child(spec, ChildThreads(), START_S)
    try:
        told = await child.call("tell", Nothing(), Told, timeout_s=CALL_S)
        process = psutil.Process(child.pid)
        readable = f"{process.environ()} {process.cmdline()}"
    finally:
        await child.end()
    assert told.prefix == str(another_interpreter.parents[1])
    assert told.service == str(ROOT / "service" / "__init__.py")
    assert [path for path in told.path if path.startswith(str(ROOT)) and ".venv" not in path] == []
    assert told.folder == str(tmp_path)
    assert told.dumpable == 0
    assert "PYTHONPATH" in readable
    assert "s3cret" not in readable


@by_command
@posix_only
@pytest.mark.parametrize(
    ("interpreter", "target", "told"),
    [
        ("nowhere/python", "operations", "could not be started: .*No such file.*nowhere/python"),
        ("broken/bin/python", "operations", "did not start: .*No module named 'msgspec'"),
        ("", "no_such_function", "did not start: .*no attribute 'no_such_function'"),
        ("text", "operations", "could not be started: .*text"),
    ],
)
async def test_a_start_elsewhere_that_fails_says_why(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    another_interpreter: Path,
    interpreter: str,
    target: str,
    told: str,
) -> None:
    """No such interpreter, one without what is needed, or nothing to run there; nothing is left."""
    if interpreter.startswith("broken"):
        make_environment(tmp_path / "broken")
    (tmp_path / "text").write_text("no program")
    (tmp_path / "text").chmod(0o755)
    async with a_child(tmp_path):
        pass
    files = psutil.Process().num_fds()
    chosen = tmp_path / interpreter if interpreter else another_interpreter
    monkeypatch.setattr(Interpreter, "chosen", chosen)
    with pytest.raises(ChildStartError, match=told):
        async with a_child(tmp_path, target):
            pass
    assert psutil.Process().num_fds() <= files


@by_command
@only_linux
async def test_what_a_child_leaves_to_the_front_is_reaped(tmp_path: Path) -> None:
    """In a container the front is the first process, whose every orphan becomes."""
    this = psutil.Process()
    subreaper = ctypes.CDLL(None).prctl
    assert subreaper(36, 1, 0, 0, 0) == 0
    try:
        async with a_child(tmp_path) as child:
            left = int(await _started(child, "daemon"))
            await until(lambda: psutil.Process(left).ppid() == this.pid, GONE_WITHIN_S)
        assert not psutil.pid_exists(left)
    finally:
        subreaper(36, 0, 0, 0, 0)
