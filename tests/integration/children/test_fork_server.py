"""The fork server of another environment, and the children that it forks."""

import os
import signal
import sys
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import anyio
import psutil
import pytest

from service.core.environments import SHARED, Environment
from service.core.errors import ChildLostError, ChildStartError, EnvironmentRefusedError
from service.processes.child import Child, start_child
from service.processes.child_spec import ChildSpec
from service.processes.child_threads import ChildThreads
from service.processes.fork_server import ForkServer
from service.processes.fork_servers import ForkServers
from service.processes.protocol import Nothing
from tests.support.child_targets import Number, Text
from tests.support.children import (
    CALL_S,
    GONE_WITHIN_S,
    ROOT,
    START_S,
    make_environment,
    only_linux,
    started_by,
)
from tests.support.lone_server import killed_server
from tests.support.waiting import is_gone, until

pytestmark = [only_linux, pytest.mark.loops("uvloop")]
TARGETS = "tests.support.child_targets"


@pytest.fixture(scope="module")
def interpreter(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Make an environment with what these children run."""
    packages = (next(path for path in sys.path if path.endswith("site-packages")), str(ROOT))
    return make_environment(tmp_path_factory.mktemp("forked"), *packages)


@asynccontextmanager
async def a_server(
    interpreter: Path, temp_dir: Path, modules: tuple[str, ...] = (TARGETS,)
) -> AsyncIterator[ForkServer]:
    """Return a fork server, and end it afterwards."""
    server = ForkServer("fork-server", interpreter, modules, temp_dir, ChildThreads())
    try:
        yield server
    finally:
        await server.end()


@asynccontextmanager
async def forked(
    server: ForkServer, temp_dir: Path, target: str = "operations", timeout_s: float = START_S
) -> AsyncIterator[Child]:
    """Start a child by it, and end that afterwards."""
    spec = ChildSpec(
        *(f"{TARGETS}:{target}", "forked", b"", temp_dir),
        variables={"SET_FOR_IT": "yes"},
        forked_by=server,
    )
    child = await start_child(spec, ChildThreads(), timeout_s)
    try:
        yield child
    finally:
        await child.end()


async def test_children_are_forked_from_one_process_which_has_the_imports(
    tmp_path: Path, interpreter: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In its environment, and with nothing of this one; nothing is left of any of them."""
    monkeypatch.setenv("PYTHONPATH", "/of/this/process")
    # Once: what all children share is open from then on.
    async with a_server(interpreter, tmp_path) as server, forked(server, tmp_path):
        pass
    files = psutil.Process().num_fds()
    async with a_server(interpreter, tmp_path) as server:
        async with forked(server, tmp_path) as one, forked(server, tmp_path) as other:
            pid = server.pid
            assert {psutil.Process(child.pid).ppid() for child in (one, other)} == {pid}
            assert os.getpgid(one.pid) == one.pid
            told = await one.call("environment", Text("PYTHONPATH"), Text, timeout_s=CALL_S)
            assert told.text == ""
            told = await one.call("environment", Text("VIRTUAL_ENV"), Text, timeout_s=CALL_S)
            assert Path(told.text) == interpreter.parents[1]
            assert one.python == ".".join(map(str, sys.version_info[:3]))
            await one.call("say", Text("hello"), Nothing, timeout_s=CALL_S)
        assert "hello" in one.last_lines
        began = time.monotonic()
        async with forked(server, tmp_path):
            pass
        assert time.monotonic() - began < 2
    assert pid is not None
    assert is_gone(pid)
    assert is_gone(one.pid)
    assert psutil.Process().num_fds() <= files


@pytest.mark.parametrize(("how", "code"), [("end", 7), ("kill", -signal.SIGKILL)])
async def test_how_a_child_ended_is_known(
    tmp_path: Path, interpreter: Path, how: str, code: int
) -> None:
    """Its parent tells, and it leaves no zombie."""
    async with a_server(interpreter, tmp_path) as server, forked(server, tmp_path) as child:
        if how == "kill":
            os.kill(child.pid, signal.SIGKILL)
            await child.lost.wait()
        else:
            with pytest.raises(ChildLostError):
                await child.call("end", Text("last"), Nothing, timeout_s=CALL_S)
        await child.end()
        assert child.exit_code == code
        assert child.was_killed_from_outside == (how == "kill")
        assert is_gone(child.pid)


async def test_what_a_forked_child_has_started_ends_with_it(
    tmp_path: Path, interpreter: Path
) -> None:
    """Also what left its session and its parent."""
    async with a_server(interpreter, tmp_path) as server, forked(server, tmp_path) as child:
        pids = [int(await started_by(child, how)) for how in ("session", "daemon", "stays")]
        await child.end()
        assert [pid for pid in pids if not is_gone(pid)] == []


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGSTOP])
async def test_a_fork_server_that_is_lost_or_hangs_is_replaced(
    tmp_path: Path, interpreter: Path, number: int
) -> None:
    """Its children go on; what is started meanwhile waits, and nothing else does."""
    async with a_server(interpreter, tmp_path) as server, forked(server, tmp_path) as child:
        before = server.pid
        assert before is not None
        os.kill(before, number)
        beside: list[float] = []

        async def stay_quick() -> None:
            while True:
                began = time.monotonic()
                await child.ping(CALL_S)
                await anyio.sleep(0.01)
                beside.append(time.monotonic() - began)

        async with anyio.create_task_group() as tasks:
            tasks.start_soon(stay_quick)
            async with forked(server, tmp_path, timeout_s=2) as another:
                assert server.pid not in {None, before}
                await another.ping(CALL_S)
            tasks.cancel_scope.cancel()
        assert len(beside) > 5
        assert max(beside) < 1
        assert is_gone(before)
    # Its status is nobody's to know, and it is gone all the same.
    assert is_gone(child.pid)


async def test_a_start_that_is_no_longer_wanted_leaves_nothing(
    tmp_path: Path, interpreter: Path
) -> None:
    """While the fork server hangs; the next start has another one."""
    async with a_server(interpreter, tmp_path) as server, forked(server, tmp_path):
        pass
    files = psutil.Process().num_fds()
    async with a_server(interpreter, tmp_path) as server:
        async with forked(server, tmp_path):
            pass
        hanging = server.pid
        assert hanging is not None
        os.kill(hanging, signal.SIGSTOP)
        began = time.monotonic()
        with anyio.move_on_after(0.2):
            async with forked(server, tmp_path):
                pytest.fail("it hangs")
        assert time.monotonic() - began < 5
        async with forked(server, tmp_path):
            assert server.pid != hanging
    assert psutil.Process().num_fds() <= files


async def test_an_interpreter_that_is_gone_fails_with_a_sentence_until_it_is_back(
    tmp_path: Path, interpreter: Path
) -> None:
    """What was forked goes on, and what is forked by a fork server that lives is, too."""
    link = tmp_path / "environment"
    link.symlink_to(interpreter.parents[1])
    gone = tmp_path / "gone"
    async with (
        a_server(link / "bin" / "python", tmp_path) as server,
        forked(server, tmp_path) as child,
    ):
        link.rename(gone)
        async with forked(server, tmp_path) as another:
            await another.ping(CALL_S)
        assert server.pid is not None
        os.kill(server.pid, signal.SIGKILL)
        with pytest.raises(ChildStartError, match=r"could not be started: .*No such file"):
            async with forked(server, tmp_path):
                pass
        await child.ping(CALL_S)
        gone.rename(link)
        async with forked(server, tmp_path):
            pass


async def test_an_environment_without_what_a_child_imports_is_refused(
    tmp_path: Path, interpreter: Path
) -> None:
    """Neither a traceback nor a start that is tried for ever; nor one without msgspec."""
    async with a_server(interpreter, tmp_path, ("no_such_module",)) as server:
        spec = ChildSpec("no_such_module:operations", "forked", b"", tmp_path, forked_by=server)
        with pytest.raises(EnvironmentRefusedError, match="No module named 'no_such_module'"):
            await start_child(spec, ChildThreads(), START_S)
    bare = make_environment(tmp_path / "bare")
    async with a_server(bare, tmp_path) as server:
        with pytest.raises(EnvironmentRefusedError, match="msgspec can't be imported by"):
            async with forked(server, tmp_path):
                pass


async def test_a_fork_server_ends_with_the_last_use_of_its_environment(
    tmp_path: Path, interpreter: Path
) -> None:
    """Each environment has one, and the service's own has none of these."""
    servers = ForkServers((TARGETS,))
    python = str(interpreter)
    here, there = (Environment(key, python, "3.11", "as built") for key in ("here", "there"))
    built_again = Environment("here", python, "3.11", "as built again")
    assert servers.of(SHARED) is None
    with pytest.raises(RuntimeError, match="not in use"):
        servers.of(here)
    async with servers.using(SHARED, tmp_path), servers.using(here, tmp_path):
        async with (
            servers.using(here, tmp_path),
            servers.using(there, tmp_path),
            servers.using(built_again, tmp_path),
        ):
            server = servers.of(here)
            assert server is not None
            others = {servers.of(there), servers.of(built_again)}
            assert len(others - {server, None}) == 2
            async with forked(server, tmp_path):
                pass
            (pid,) = servers.pids
        assert servers.of(here) is server
        assert not is_gone(pid)
    assert is_gone(pid)
    assert servers.pids == []


def test_a_server_process_that_is_killed_takes_its_fork_servers_along(
    tmp_path: Path, interpreter: Path
) -> None:
    """And the children of these, even one that holds its GIL in C code."""
    with killed_server(tmp_path, str(interpreter), "forked") as processes:
        assert len(processes) == 3
    _, alive = psutil.wait_procs(processes, timeout=GONE_WITHIN_S)
    assert [process for process in alive if process.status() != psutil.STATUS_ZOMBIE] == []


async def test_a_forked_child_is_not_seen_by_the_next(tmp_path: Path, interpreter: Path) -> None:
    """No descriptor of one is open in another: the end of each is seen by itself."""
    async with a_server(interpreter, tmp_path) as server:
        counts = []
        for _ in range(3):
            async with forked(server, tmp_path) as first, forked(server, tmp_path) as second:
                counts += [psutil.Process(child.pid).num_fds() for child in (first, second)]
                counts.append(psutil.Process(second.pid).num_fds())
                reply = await second.call("pid", Nothing(), Number, timeout_s=CALL_S)
                assert reply.number == second.pid
        assert max(counts) == min(counts)
        assert server.pid is not None
        await until(lambda: psutil.Process(server.pid).num_fds() < 20, GONE_WITHIN_S)
