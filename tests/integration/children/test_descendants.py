"""Processes that a child has started."""

import ctypes
import os
import signal
from pathlib import Path

import anyio
import psutil
import pytest
import structlog

from service.processes.protocol import Nothing
from tests.support.child_targets import Number
from tests.support.children import (
    ALL_LOOPS,
    CALL_S,
    GONE_WITHIN_S,
    a_child,
    by_command,
    once,
    only_linux,
    posix_only,
    started_by,
)
from tests.support.waiting import is_gone, until

pytestmark = ALL_LOOPS


@posix_only
async def test_what_a_child_has_started_ends_with_it(tmp_path: Path) -> None:
    """A model's own helper processes hold its memory and its files."""
    async with a_child(tmp_path) as child:
        grandchild = await child.call("start_grandchild", Nothing(), Number, timeout_s=CALL_S)
    await until(lambda: is_gone(int(grandchild.number)), GONE_WITHIN_S)


METHODS = ("fork", "spawn", "forkserver")


@only_linux
@once
async def test_a_child_may_have_processes_of_its_own(tmp_path: Path) -> None:
    """By each way in which multiprocessing starts them; they print and can be terminated."""
    with structlog.testing.capture_logs() as logs:
        async with a_child(tmp_path) as child:
            for method in METHODS:
                assert await started_by(child, f"pool:{method}") == "[1, 2]"
                assert await started_by(child, f"executor:{method}") == "[1, 2]"
                assert await started_by(child, f"prints:{method}") == "0"
                assert await started_by(child, f"terminated:{method}") == str(-signal.SIGTERM)
    said = [line for line in logs if line["event"] == "from below"]
    assert [line["version"] for line in said] == ["7"] * len(METHODS)


WAYS = ("session", "daemon", *(f"stays:{method}" for method in METHODS))


@only_linux
@pytest.mark.parametrize("how", ["end", "kill"])
async def test_all_that_a_child_has_started_ends_with_it(tmp_path: Path, how: str) -> None:
    """In a session of its own, too, or once it has lost its parent; and nobody waits for it."""
    async with a_child(tmp_path) as child:
        started = [int(await started_by(child, way)) for way in WAYS]
        semaphore = Path("/dev/shm") / f"sem.{(await started_by(child, 'semaphore:spawn'))[1:]}"  # noqa: S108
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


@by_command
@only_linux
async def test_what_a_child_leaves_to_the_server_is_reaped(tmp_path: Path) -> None:
    """In a container the server process is the first process, whose every orphan becomes."""
    this = psutil.Process()
    subreaper = ctypes.CDLL(None).prctl
    assert subreaper(36, 1, 0, 0, 0) == 0
    try:
        async with a_child(tmp_path) as child:
            left = int(await started_by(child, "daemon"))
            await until(lambda: psutil.Process(left).ppid() == this.pid, GONE_WITHIN_S)
        assert not psutil.pid_exists(left)
    finally:
        subreaper(36, 0, 0, 0, 0)
