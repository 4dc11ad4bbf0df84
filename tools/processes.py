"""A server that is measured: its processes, what they take, and how they are told to rest."""

import contextlib
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path

import psutil

from tools.mlflow_server import stop_tree

_SAMPLE_S = 0.2

START_LIMIT_S = 120.0
_START_STEP_S = 0.02
_SETTLE_LIMIT_S = 20.0
_SETTLE_STEP_S = 0.1
_REST_LIMIT_S = 180.0
_REST_STEP_S = 2.0
_RESTLESS_SHARE = 0.3
"""A process that uses a larger share of one core computes something."""
IDLE_SHARE = 0.03
"""A process that uses a smaller share of one core does not disturb another's turn."""


class BrokenError(Exception):
    """A contender did not start, did not answer, or answered wrongly."""


class ProcessTree:
    """A process and all below it."""

    def __init__(self, pid: int) -> None:
        self.root = psutil.Process(pid)

    def all(self) -> list[psutil.Process]:
        """Return the processes that are there now."""
        try:
            return [self.root, *self.root.children(recursive=True)]
        except psutil.NoSuchProcess:
            return []

    def cpu_s(self) -> float:
        """Return the seconds of CPU that the processes which are there now have used."""
        total = 0.0
        for process in self.all():
            with contextlib.suppress(psutil.NoSuchProcess):
                times = process.cpu_times()
                total += times.user + times.system
        return total

    def pss_bytes(self) -> int:
        """Return their memory, pages that several share counted once."""
        return sum(map(pss_bytes, self.all()))

    def idle_share(self, over_s: float = _SETTLE_STEP_S) -> float:
        """Return the share of one core that they use when nobody asks for anything."""
        before, began = self.cpu_s(), time.monotonic()
        time.sleep(over_s)
        return (self.cpu_s() - before) / (time.monotonic() - began)

    def settle(self, at_most_share: float) -> None:
        """Wait until they have done what callers that hung up had asked for."""
        deadline = time.monotonic() + _SETTLE_LIMIT_S
        while self.idle_share() > at_most_share and time.monotonic() < deadline:
            pass

    def rest(self) -> float:
        """Wait until they have done what they do after a start; return their share of a core then.

        Some never rest; that share is what they always take.
        """
        deadline = time.monotonic() + _REST_LIMIT_S
        share = self.idle_share(_REST_STEP_S)
        while share > IDLE_SHARE and time.monotonic() < deadline:
            before, share = share, self.idle_share(_REST_STEP_S)
            if abs(before - share) < IDLE_SHARE and share < _RESTLESS_SHARE:
                break
        return share

    def pause(self) -> None:
        """Stop them where they are."""
        self._signal(signal.SIGSTOP)

    def resume(self) -> None:
        """Let them go on."""
        self._signal(signal.SIGCONT)

    def _signal(self, number: signal.Signals) -> None:
        for process in self.all():
            with contextlib.suppress(psutil.NoSuchProcess):
                process.send_signal(number)


def pss_bytes(process: psutil.Process) -> int:
    """Return one process's share of memory; 0 once it has gone."""
    try:
        return int(process.memory_full_info().pss)
    except psutil.NoSuchProcess:
        return 0


@contextlib.contextmanager
def running(
    command: Sequence[str], environ: Mapping[str, str], folder: Path, is_up: Callable[[], bool]
) -> Iterator[ProcessTree]:
    """Run a server from a folder until the block ends. Raise BrokenError where it won't answer."""
    folder.mkdir(parents=True, exist_ok=True)
    log = folder / "server.log"
    with log.open("wb") as output:
        process = subprocess.Popen(
            command,
            cwd=folder,
            env=dict(environ),
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
    tree = ProcessTree(process.pid)
    try:
        deadline = time.monotonic() + START_LIMIT_S
        while not is_up():
            if process.poll() is not None or time.monotonic() > deadline:
                said = log.read_text("utf-8", "replace")[-1500:]
                raise BrokenError(f"did not start; it said:\n{said}")
            time.sleep(_START_STEP_S)
        yield tree
    finally:
        # One that is paused could not end.
        tree.resume()
        stop_tree(process)


def python_of(environment: Path | None) -> str:
    """Return the interpreter of a peer's environment, or this one."""
    return str(environment / "bin" / "python") if environment else sys.executable


@contextlib.contextmanager
def peak_pss(tree: ProcessTree) -> Iterator[list[int]]:
    """Sample what a tree takes meanwhile, in bytes, into the list that is given."""
    seen = [tree.pss_bytes()]
    done = threading.Event()

    def sample() -> None:
        while not done.wait(_SAMPLE_S):
            seen.append(tree.pss_bytes())

    sampler = threading.Thread(target=sample)
    sampler.start()
    try:
        yield seen
    finally:
        done.set()
        sampler.join()
