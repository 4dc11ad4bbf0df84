"""Children that end, are killed or stand still, and what is left of them."""

import os
import signal
import threading
from pathlib import Path

import anyio
import psutil
import pytest

from service.core.errors import (
    ChildLostError,
    ChildTimeoutError,
)
from service.processes import progress
from service.processes.protocol import Nothing
from tests.support.child_targets import Number, Text
from tests.support.children import (
    ALL_LOOPS,
    CALL_S,
    GONE_WITHIN_S,
    a_child,
    counted,
    once,
    only_linux,
    posix_only,
)
from tests.support.lone_server import killed_server
from tests.support.waiting import until

pytestmark = ALL_LOOPS


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


@posix_only
async def test_a_child_leaves_the_groups_signals_to_the_server(tmp_path: Path) -> None:
    """Ctrl-C and a service manager's SIGTERM reach every process of the group."""
    async with a_child(tmp_path) as child:
        await child.call("signal_group", Nothing(), Nothing, timeout_s=CALL_S)
        assert os.getpgid(child.pid) != os.getpgid(0)
        await child.ping(CALL_S)


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
def test_children_end_with_a_server_that_is_killed(
    tmp_path: Path, started: str, another_interpreter: Path
) -> None:
    """Even one that holds its GIL in C code, and the fork server."""
    by_command = started == "by command line"
    interpreter = [str(another_interpreter)] if by_command else []
    with killed_server(tmp_path, *interpreter) as processes:
        assert len(processes) == 2 + (not by_command)
    _, alive = psutil.wait_procs(processes, timeout=GONE_WITHIN_S)
    assert [process for process in alive if process.status() != psutil.STATUS_ZOMBIE] == []
