"""A server process without a service: starts children, tells their ids, makes one busy, waits."""

import contextlib
import os
import subprocess
import sys
from collections.abc import Iterator
from functools import partial
from multiprocessing import forkserver
from pathlib import Path

import anyio
import psutil

from service.processes.child import start_child
from service.processes.child_spec import ChildSpec
from service.processes.child_threads import ChildThreads
from service.processes.fork_server import ForkServer
from service.processes.protocol import Nothing
from tests.support.child_targets import Number

_ROOT = Path(__file__).parents[2]


@contextlib.contextmanager
def killed_server(temp_dir: Path, *arguments: str) -> Iterator[list[psutil.Process]]:
    """Start such a server, return the processes that it has started, and kill it afterwards."""
    with subprocess.Popen(
        [sys.executable, "-m", __spec__.name, str(temp_dir), *arguments],
        cwd=_ROOT,
        env={**os.environ, "PYTHONPATH": str(_ROOT)},
        stdout=subprocess.PIPE,
        text=True,
    ) as server:
        try:
            assert server.stdout is not None
            told = next(line for line in server.stdout if line.startswith("pids "))
            yield [psutil.Process(int(pid)) for pid in told.split()[1:]]
        finally:
            server.kill()


async def main(temp_dir: Path, interpreter: Path | None, *, is_forked: bool) -> None:
    """Start an idle child and one that holds its GIL for a minute."""
    threads = ChildThreads()
    own = None
    if interpreter is not None and is_forked:
        own = ForkServer("fork-server", interpreter, (), temp_dir, threads)
    children = [
        await start_child(
            ChildSpec(
                "tests.support.child_targets:operations",
                name,
                b"",
                temp_dir,
                interpreter=None if own else interpreter,
                forked_by=own,
            ),
            threads,
            60,
        )
        for name in ("idle", "busy")
    ]
    async with anyio.create_task_group() as calls:

        async def be_busy() -> None:
            await children[1].call("busy", Number(60), Nothing, timeout_s=60)

        calls.start_soon(be_busy)
        await anyio.sleep(0.3)
        server = own.pid if own else forkserver._forkserver._forkserver_pid  # type: ignore[attr-defined]
        pids = [pid for pid in (server, children[0].pid, children[1].pid) if pid is not None]
        sys.stdout.write(f"pids {' '.join(map(str, pids))}\n")
        sys.stdout.flush()


if __name__ == "__main__":
    own_interpreter = Path(sys.argv[2]) if len(sys.argv) > 2 else None
    anyio.run(partial(main, Path(sys.argv[1]), own_interpreter, is_forked="forked" in sys.argv))
