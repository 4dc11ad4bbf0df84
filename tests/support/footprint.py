"""What a service takes of its machine, to be compared before and after a fault."""

import os
import sys
from dataclasses import astuple, dataclass, replace
from pathlib import Path
from typing import Self

import psutil

from tests.support.running_service import RunningService

IDLE_THREADS = 6
"""Threads of the front's pools that may stay for the next piece of work; they are bounded, so a
thread that each fault leaves behind soon shows beyond them."""


@dataclass(frozen=True)
class Footprint:
    """Processes of the whole service, descriptors and threads of its front, temporary files."""

    processes: int
    descriptors: int
    threads: int
    temporary_files: int

    @classmethod
    def of(cls, service: RunningService) -> Self:
        """Measure a service whose CACHE_DIR is where `running_service.start` puts it."""
        # One connection of our own stands, whatever was asked before.
        service.get("/health/live")
        front = psutil.Process(service.process.pid)
        cache_dir = service.log.parent / "cache"
        return cls(
            1 + len(service.children()),
            _descriptors(front),
            front.num_threads(),
            sum(_files_below(cache_dir / folder) for folder in ("tmp", "temp")),
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


def _descriptors(process: psutil.Process) -> int:
    if sys.platform == "win32":
        handles: int = process.num_handles()
        return handles
    return process.num_fds()


def _files_below(folder: Path) -> int:
    return sum(len(files) for _, _, files in os.walk(folder))
