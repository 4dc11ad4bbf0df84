"""Watches how much memory children hold, with all that they have started, and tells what is over.

By a thread of its own, and in it by files of `/proc`: no event loop waits for that.
"""

import threading
from collections.abc import Callable, Iterable

from service.processes.guardian import mark_of, pids

_PAUSE_S = 0.25
"""Between two looks. What grows faster has this long."""
_MEMORY = (b"RssAnon:", b"RssShmem:")
_SHARE = (b"Pss_Anon:", b"Pss_Shmem:")
_KIB = 1024


class MemoryWatch:
    """Looks at each child that has a limit, as long as there are any."""

    def __init__(self, pause_s: float = _PAUSE_S) -> None:
        self._pause_s = pause_s
        self._lock = threading.Lock()
        self._watched: dict[int, tuple[int, int, Callable[[int], None]]] = {}
        self._wake = threading.Event()
        self._thread: threading.Thread | None = None

    def add(self, pid: int, mark: int, most_bytes: int, tell: Callable[[int], None]) -> None:
        """Watch a child. `tell` is called once, in another thread, with the bytes that it holds."""
        with self._lock:
            self._watched[pid] = (mark, most_bytes, tell)
            if self._thread is None:
                self._thread = threading.Thread(
                    target=self._watch, name="memory-watch", daemon=True
                )
                self._thread.start()

    def remove(self, pid: int) -> None:
        """Watch it no more: it has ended, or is about to."""
        with self._lock:
            self._watched.pop(pid, None)
            if not self._watched:
                self._wake.set()

    def look(self) -> None:
        """Look at all of them now. Blocks for some milliseconds."""
        with self._lock:
            watched = dict(self._watched)
        families = _families({mark for mark, _, _ in watched.values() if mark})
        for pid, (mark, most_bytes, tell) in watched.items():
            held = held_bytes({pid, *families.get(mark, ())}, most_bytes)
            if held <= most_bytes:
                continue
            with self._lock:
                # Told before another look can find that it was told.
                if self._watched.pop(pid, None) is not None:
                    tell(held)

    def _watch(self) -> None:
        while True:
            self._wake.wait(self._pause_s)
            with self._lock:
                self._wake.clear()
                if not self._watched:
                    self._thread = None
                    return
            self.look()


def held_bytes(processes: Iterable[int], most_bytes: int = 0) -> int:
    """Return the memory that these processes hold: what can't be read from a file again.

    What several of them share is counted once, where they hold more than `most_bytes` otherwise.
    Processes that are gone hold nothing.
    """
    processes = list(processes)
    held = sum(_sum(f"/proc/{pid}/status", _MEMORY) for pid in processes)
    if held <= most_bytes or len(processes) == 1:
        return held
    # It walks through all pages, which costs a large process milliseconds.
    return sum(
        _sum(f"/proc/{pid}/smaps_rollup", _SHARE) or _sum(f"/proc/{pid}/status", _MEMORY)
        for pid in processes
    )


def _families(marks: set[int]) -> dict[int, list[int]]:
    """Return all processes that have one of these marks, by their marks."""
    families: dict[int, list[int]] = {mark: [] for mark in marks}
    if marks:
        for pid in pids():
            if (mark := mark_of(pid)) in families:
                families[mark].append(pid)
    return families


def _sum(path: str, names: tuple[bytes, ...]) -> int:
    """Add up some of a file's lines, which are in KiB; 0 where it can't be read."""
    try:
        with open(path, "rb") as file:  # noqa: PTH123 - a Path for each would cost more than the file
            return _KIB * sum(int(line.split()[1]) for line in file if line.startswith(names))
    except OSError:
        return 0
