"""What a child may not take and do under WORKER_LIMITS: real children try it."""

import platform
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import psutil
import pytest
import structlog

from service.core.errors import ChildLostError
from service.core.worker_limits import WorkerLimits
from service.processes.child import Child, start_child
from service.processes.child_spec import ChildSpec
from service.processes.child_threads import ChildThreads
from service.processes.protocol import Nothing
from tests.support.children import CALL_S, GONE_WITHIN_S, START_S, Interpreter, once, only_linux
from tests.support.limited_target import Hold, Tried
from tests.support.waiting import is_gone, until

pytestmark = [once, only_linux]
MIB = 2**20
INET = ("tcp", "udp", "tcp6", "listen", "netlink", "packet", "vsock")
AROUND = ("io_uring", "descriptor", *(("x32",) if platform.machine() == "x86_64" else ()))


@asynccontextmanager
async def limited(temp_dir: Path, limits: WorkerLimits) -> AsyncIterator[Child]:
    """Start a child under limits, forked or by command line, and end it afterwards."""
    spec = ChildSpec(
        "tests.support.limited_target:operations",
        *("limited", b"", temp_dir),
        log_fields={"version": "7"},
        interpreter=Interpreter.chosen,
        limits=limits,
    )
    child = await start_child(spec, ChildThreads(), START_S)
    try:
        yield child
    finally:
        await child.end()


async def test_no_network_leaves_no_socket_but_those_of_this_machine(tmp_path: Path) -> None:
    """Neither to itself, nor to others, nor by a program that it starts, nor around the filter."""
    async with limited(tmp_path, WorkerLimits(no_network=True)) as child:
        tried = await child.call("try", Nothing(), Tried, timeout_s=CALL_S)
        opened = psutil.Process(child.pid).net_connections("inet")
    wanted = dict.fromkeys((*INET, *AROUND), "PermissionError")
    wanted |= {"program": "CalledProcessError"}
    wanted |= dict.fromkeys(("unix", "pair", "pipe"), "done")
    assert {name: tried.outcomes[name] for name in wanted} == wanted
    assert tried.new_privileges == "1"
    assert opened == []


async def test_files_and_privileges_are_limited_before_anything_is_imported(
    tmp_path: Path,
) -> None:
    """The number of descriptors is that of the setting, and can't be raised again."""
    async with limited(tmp_path, WorkerLimits(files=80, no_new_privileges=True)) as child:
        tried = await child.call("try", Nothing(), Tried, timeout_s=CALL_S)
    assert tried.files == (80, 80)
    assert tried.imported_under == 80
    assert 0 < tried.opened < 80
    assert tried.new_privileges == "1"
    assert tried.outcomes["udp"] == "done"


async def test_without_limits_a_child_may_all_that_its_user_may(tmp_path: Path) -> None:
    """Nothing is switched on by itself; so the attempts of the others do find something."""
    async with limited(tmp_path, WorkerLimits()) as child:
        tried = await child.call("try", Nothing(), Tried, timeout_s=CALL_S)
    done = ("udp", "listen", "netlink", "program", "unix", "pair", "pipe")
    assert {name: tried.outcomes[name] for name in done} == dict.fromkeys(done, "done")
    assert tried.new_privileges == "0"


@pytest.mark.parametrize("processes", [0, 2])
async def test_a_child_that_holds_too_much_memory_is_ended(tmp_path: Path, processes: int) -> None:
    """With what it has started, which counts as its own; its caller is told why."""
    told: list[str] = []
    limits = WorkerLimits(memory_bytes=512 * MIB)
    with structlog.testing.capture_logs() as logs:
        async with limited(tmp_path, limits) as child:
            child.on_over_limit = told.append
            await child.check_memory()
            hold = Hold(600 * MIB // (processes or 1), processes)
            with pytest.raises(ChildLostError, match=r"was ended: it held .* 512 MiB") as lost:
                await child.call("hold", hold, Nothing, timeout_s=CALL_S)
            await until(lambda: is_gone(child.pid), GONE_WITHIN_S)
        with pytest.raises(ChildLostError, match="WORKER_LIMITS"):
            await child.check_memory()
    assert not lost.value.killed_from_outside
    assert told == [lost.value.over_limit]
    assert [line["reason"] for line in logs if line["event"] == "child ended"] == told


async def test_a_child_that_holds_less_goes_on(tmp_path: Path) -> None:
    """What it shares with what it has forked counts once."""
    async with limited(tmp_path, WorkerLimits(memory_bytes=700 * MIB)) as child:
        await child.call("hold", Hold(200 * MIB, seconds=0.1), Nothing, timeout_s=CALL_S)
        await child.call("hold", Hold(20 * MIB, 4, seconds=1.0), Nothing, timeout_s=CALL_S)
        await child.check_memory()
