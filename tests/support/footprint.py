"""What a service takes of its machine, to be compared before and after a fault."""

import contextlib
import os
import sys
from collections.abc import Iterator, Sequence
from dataclasses import astuple, dataclass, replace
from pathlib import Path
from typing import Self

import psutil

from tests.support.waiting import is_gone
from tools.running_service import RunningService

IDLE_THREADS = 6
"""Threads of the server process's pools that may stay for the next work; they are bounded, so a
thread that each fault leaves behind soon shows beyond them."""
GONE_WITHIN_S = 5.0
"""A service has ended within this time: then no process of it is left."""
_TEMPORARY = ("tmp", "temp")


@dataclass(frozen=True)
class Footprint:
    """Processes of the service, descriptors and threads of its server process, temporary files."""

    processes: int
    descriptors: int
    threads: int
    temporary_files: int

    @classmethod
    def of(cls, service: RunningService) -> Self:
        """Measure a running service, once nothing is loaded or compiled any more."""
        service.wait_until(service.is_at_rest, "nothing is loaded or compiled")
        # One connection of our own stands, whatever was asked before.
        service.get("/health/live")
        front = psutil.Process(service.process.pid)
        return cls(
            len(service.family()),
            _descriptors(front),
            front.num_threads(),
            len(_temporary_files(service.cache_dir)),
        )

    def holds(self, other: "Footprint") -> bool:
        """Whether another one is in nothing larger than this, idle threads apart."""
        roomy = astuple(replace(self, threads=self.threads + IDLE_THREADS))
        return all(mine >= its for mine, its in zip(roomy, astuple(other), strict=True))


def wait_back_to(service: RunningService, before: Footprint) -> None:
    """Wait until a service takes no more than it did."""
    seen: list[Footprint] = []

    def is_back() -> bool:
        seen[:] = [Footprint.of(service)]
        return before.holds(seen[0])

    try:
        service.wait_until(is_back, "it takes no more than before")
    except AssertionError as error:
        error.add_note(f"before: {before}; now: {seen}")
        raise


@contextlib.contextmanager
def kept(service: RunningService) -> Iterator[None]:
    """Have a service take no more afterwards than it did before."""
    before = Footprint.of(service)
    yield
    wait_back_to(service, before)


@contextlib.contextmanager
def ending_clean(service: RunningService) -> Iterator[RunningService]:
    """Hold a service, end it afterwards, and see that nothing of it stays."""
    with service:
        yield service
        family = service.family()
        service.stop()
        nothing_stays(service, family)


def all_gone(family: Sequence[psutil.Process]) -> None:
    """Fail unless every process ends within the time that is promised.

    One that has ended and that the system's first process, whose child it is by then, has not
    reaped yet is gone.
    """
    _, left = psutil.wait_procs(family, timeout=GONE_WITHIN_S)
    assert [process for process in left if not is_gone(process.pid)] == []


def nothing_stays(service: RunningService, family: Sequence[psutil.Process]) -> None:
    """Fail unless a service that ended is gone with its family and its temporary files."""
    all_gone(family)
    # An empty lock is removed by the next service to start here.
    left = [file for file in _temporary_files(service.cache_dir) if file.suffix != ".lock"]
    assert left == []


def _descriptors(process: psutil.Process) -> int:
    if sys.platform == "win32":
        handles: int = process.num_handles()
        return handles
    return process.num_fds()


def _temporary_files(cache_dir: Path) -> list[Path]:
    """Return every file and socket that a service has for a while below its CACHE_DIR."""
    return [
        Path(folder, file)
        for name in _TEMPORARY
        for folder, _, files in os.walk(cache_dir / name)
        for file in files
    ]
