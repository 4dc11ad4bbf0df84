"""Real child processes for tests: started, ended, counted, in this interpreter or another."""

import sys
import venv
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from multiprocessing import forkserver
from pathlib import Path
from typing import ClassVar

import psutil
import pytest

from service.processes.child import Child, start_child
from service.processes.child_spec import ChildSpec
from service.processes.child_threads import ChildThreads
from tests.support.child_targets import ERRORS, Text
from tests.support.loops import BY_COMMAND

ROOT = Path(__file__).parents[2]
START_S = 60.0
CALL_S = 20.0
GONE_WITHIN_S = 5.0
LARGE = bytes(range(256)) * (8 * 2**20 // 256)
ALL_LOOPS = pytest.mark.loops("uvloop", "asyncio", "without readers", BY_COMMAND)
"""All ways of reading replies, and both of starting a child. Windows' loop has no readers."""
only_linux = pytest.mark.skipif(sys.platform != "linux", reason="marks and a fork server")
once = pytest.mark.loops("uvloop", BY_COMMAND)
forked = pytest.mark.loops("uvloop")
by_command = pytest.mark.loops(BY_COMMAND)
posix_only = pytest.mark.skipif(sys.platform == "win32", reason="POSIX signals and descriptors")


class Interpreter:
    """Which one the children of a test have; None for the fork server's."""

    chosen: ClassVar[Path | None] = None


def make_environment(folder: Path, *packages: str) -> Path:
    """Make a virtual environment that finds these packages, and return its interpreter."""
    venv.create(folder, with_pip=False, symlinks=True)
    (own,) = folder.glob("lib/python*/site-packages")
    (own / "packages.pth").write_text("\n".join(packages))
    return folder / "bin" / "python"


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
        variables={"SET_FOR_IT": "yes"},
        log_fields={"version": "7"},
        errors=ERRORS,
        most_calls=2,
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


async def started_by(child: Child, how: str) -> str:
    """Have a child start processes in one of the ways, and return what it tells of them."""
    reply = await child.call("start_processes", Text(how), Text, timeout_s=CALL_S)
    return reply.text


def counted() -> tuple[int, int]:
    """Return how many files this process has open, and how many processes it has."""
    this = psutil.Process()
    return this.num_fds(), len(this.children(recursive=True))
