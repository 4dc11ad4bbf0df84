"""Writes lines to a descriptor, and never waits for whatever reads it.

A collector that stands still leaves a full pipe, and a write into it would hold up every request.
"""

import logging
import os
import select
import threading
from collections.abc import Callable

MOST_PENDING_BYTES = 4_194_304
"""The more lines of a reader that stands still are kept; those beyond it are lost, and counted."""
_SOON_S = 0.1
"""Lines that may be written a little later are written together, so often."""
_ATOMIC_BYTES = 4_096
"""A pipe that has any room has room for so many."""
_CHUNK_BYTES = 65_536


class LineWriter:
    """Writes from any thread, and from signal handlers.

    A line goes out immediately where there is room for it. Only where there is none it waits for a
    thread, which is there from then on. `lost_line` is what says that so many lines are lost.
    """

    def __init__(self, descriptor: int, lost_line: Callable[[int], bytes]) -> None:
        self._descriptor = descriptor
        self._lost_line = lost_line
        self._room = select.poll()
        self._room.register(descriptor, select.POLLOUT)
        self._writing = threading.Lock()
        """Held by whichever thread writes, and uses `_room` and `_rest`."""
        self._rest = b""
        """The end of a line whose beginning is out."""
        # A signal handler may log while the thread that it interrupts adds a line.
        self._adding = threading.RLock()
        self._pending: list[bytes] = []
        self._pending_bytes = 0
        self._untold = 0
        """Lost lines of which the log does not say so far."""
        self.lost_lines = 0
        """All lost lines."""
        self._sources: list[Callable[[], bytes]] = []
        self._is_awake = False
        self._wake = threading.Event()
        self._hurry = threading.Event()
        self._done = threading.Event()
        self._done.set()
        self._thread: threading.Thread | None = None

    def write(self, line: bytes) -> None:
        """Write a line now if there is room, else as soon as there is."""
        if not self._writing.acquire(blocking=False):
            self.write_soon(line)
            return
        try:
            is_behind = bool(self._rest)
            if not is_behind:
                self._rest = self._write_now(line)
        finally:
            self._writing.release()
        if is_behind:
            self.write_soon(line)
        elif self._rest:
            with self._adding:
                self._wake_thread()

    def write_soon(self, line: bytes) -> None:
        """Write a line within a moment, together with others: that costs less for each."""
        with self._adding:
            if self._pending_bytes + len(line) > MOST_PENDING_BYTES:
                self._count_lost()
                return
            self._pending.append(line)
            self._pending_bytes += len(line)
            if not self._is_awake:
                self._wake_thread()

    def add_source(self, take: Callable[[], bytes]) -> None:
        """Write what this returns, too, each time that the thread writes; see `wake`."""
        self._sources.append(take)

    def wake(self) -> None:
        """Have the thread write within a moment."""
        with self._adding:
            self._wake_thread()

    def note_lost(self) -> None:
        """Count a line that a source had no room for."""
        with self._adding:
            self._count_lost()
            if not self._is_awake:
                self._wake_thread()

    def flush(self, limit_s: float) -> bool:
        """Wait until all is written, but no longer than that. Return whether it is."""
        self._hurry.set()
        done = self._done.wait(limit_s)
        self._hurry.clear()
        return done

    def _count_lost(self) -> None:
        self._untold += 1
        self.lost_lines += 1

    def _wake_thread(self) -> None:
        self._is_awake = True
        self._done.clear()
        if self._thread is None:
            self._thread = threading.Thread(target=self._run, name="log lines", daemon=True)
            self._thread.start()
        self._wake.set()

    def _run(self) -> None:
        while True:
            self._wake.wait()
            self._hurry.wait(_SOON_S)
            self._wake.clear()
            # Once, and what comes meanwhile the next time: under load a line always comes, and each
            # round takes the GIL from the event loop.
            with self._writing:
                self._write_all(self._taken())
            with self._adding:
                # What came since was not told to wake anything.
                if not (self._pending or self._untold or self._rest or self._wake.is_set()):
                    self._is_awake = False
                    self._done.set()
                else:
                    self._wake.set()

    def _taken(self) -> bytes:
        """Take all that is to be written."""
        with self._adding:
            lines, self._pending, self._pending_bytes = self._pending, [], 0
            lost, self._untold = self._untold, 0
        rest, self._rest = self._rest, b""
        return b"".join([rest, *lines, *self._told(), self._lost_line(lost) if lost else b""])

    def _told(self) -> list[bytes]:
        """Return what the sources have."""
        try:
            return [source() for source in self._sources]
        except Exception:  # a crash barrier: every other line needs this thread
            logging.getLogger(__name__).exception("lines could not be made")
            return []

    def _write_now(self, line: bytes) -> bytes:
        """Write what there is room for; return the rest."""
        left = memoryview(line)
        while left:
            if not self._room.poll(0):
                return bytes(left)
            try:
                left = left[os.write(self._descriptor, left[:_ATOMIC_BYTES]) :]
            except BlockingIOError:
                return bytes(left)
            except OSError:
                # Nobody reads it any more.
                return b""
        return b""

    def _write_all(self, data: bytes) -> None:
        left = memoryview(data)
        while left:
            try:
                left = left[os.write(self._descriptor, left[:_CHUNK_BYTES]) :]
            except BlockingIOError:
                self._room.poll()
            except OSError:
                return
