"""Starts of children that fail, hang or are given up."""

import os
import signal
import sys
import threading
from pathlib import Path

import anyio
import pytest

from service.core.errors import (
    ChildStartError,
)
from service.processes import child as child_module
from service.processes import launch as launch_module
from service.processes import process_start
from service.processes.child import Child, start_child
from service.processes.child_spec import ChildSpec
from service.processes.child_threads import ChildThreads
from tests.support.children import (
    ALL_LOOPS,
    CALL_S,
    GONE_WITHIN_S,
    START_S,
    Interpreter,
    a_child,
    counted,
    fork_server,
    forked,
    only_linux,
    posix_only,
    started_by,
)
from tests.support.waiting import is_gone, until

pytestmark = ALL_LOOPS


async def test_a_child_of_another_release_says_so(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A service's files may be replaced while it runs: no traceback, and what to do."""
    monkeypatch.setattr(process_start, "CHILD_PROTOCOL", 99)
    with pytest.raises(ChildStartError, match=r"version 99 of the protocol .* restart the service"):
        async with a_child(tmp_path):
            pass


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
    monkeypatch.setattr(process_start, "launch", slowly)
    threads = ChildThreads()
    spec = ChildSpec("tests.support.child_targets:operations", "unwanted", b"", tmp_path)

    async def use_one() -> None:
        # Warm before the cancellation is delivered, it is given to the task that asked for it.
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


def _spec(temp_dir: Path) -> ChildSpec:
    return ChildSpec("tests.support.child_targets:operations", "another", b"", temp_dir)


@forked
@posix_only
async def test_children_outlive_their_fork_server_and_new_ones_can_be_started(
    tmp_path: Path,
) -> None:
    """A child's health is its pipe, and the next start makes a new fork server."""
    async with a_child(tmp_path, name="old") as old:
        started = await started_by(old, "daemon") if sys.platform == "linux" else None
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
