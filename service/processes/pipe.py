"""The server process's end of a child's pipe: requests go out, frames come in, and its end is told.

Where the event loop can watch a pipe it does, and neither a send nor a read ever waits. Where it
watches sockets alone, two threads wait instead.
"""

import asyncio
import contextlib
import os
import queue
import threading
from collections.abc import Callable, Sequence
from multiprocessing.connection import Pipe

import structlog

from service.processes.frames import (
    MAX_FRAME_BYTES,
    FrameReader,
    MalformedFrameError,
    framed,
    write_now,
)

_READ_BYTES = 262_144
_DIRECT_BYTES = 4_096
"""What fits the buffer of a pipe that blocks, which is empty once all is answered: it is small."""
_JOIN_TIMEOUT_S = 5.0
_LAST_READS = 16
"""More than a pipe holds when its process has ended."""

_log = structlog.get_logger("child")


class ChildPipe:
    """Made before the child is started, which gets `child_end`; then opened, in the end closed.

    `on_frame` is called with each frame and `on_end` once, both on the event loop. A stream that is
    malformed is at its end.
    """

    def __init__(
        self, name: str, on_frame: Callable[[bytes], None], on_end: Callable[[], None]
    ) -> None:
        self.name = name
        """What it is called in the log."""
        self._on_frame = on_frame
        self._on_end = on_end
        self._loop = asyncio.get_running_loop()
        self._connection, self.child_end = Pipe()
        self._frames = FrameReader()
        self._unsent: list[memoryview] = []
        self._told_end = False
        self._threads: list[threading.Thread] = []
        self._outbox: queue.SimpleQueue[bytes | None] = queue.SimpleQueue()
        """What a thread is to send, None as the last; only where the loop does not watch."""

    def open(self) -> None:
        """Begin to read."""
        descriptor = self._connection.fileno()
        try:
            self._loop.add_reader(descriptor, self._read_arrived)
        except NotImplementedError:
            self._start_thread(self._read_frames, "reader")
            self._start_thread(self._send_queued, "sender")
        else:
            # As uvloop does anyway: what does not fit the pipe must not hold up the loop.
            os.set_blocking(descriptor, False)

    def send(self, request: Sequence[bytes], *, follows: bool) -> None:
        """Send a request's pieces: immediately what the pipe takes, the rest whenever it can.

        A broken pipe is told by `on_end`. `follows` is whether something that was sent before has
        not been answered yet.
        """
        if self._threads:
            self._send_blocking(b"".join(request), follows=follows)
            return
        if self._unsent:
            self._unsent += framed(request)
            return
        self._unsent = framed(request)
        self._send_more()
        if self._unsent:
            self._loop.add_writer(self._connection.fileno(), self._send_more)

    def finish(self) -> None:
        """Take what has arrived from a process that has ended, and tell the end.

        Others may hold its end of the pipe: they would keep it open, or go on writing. Does nothing
        after the end.
        """
        if self._threads:
            return
        for _ in range(_LAST_READS):
            if self._told_end:
                return
            self._read_arrived(at_end=True)
        self._tell_end()

    def close(self) -> None:
        """Close it, once its end was told, or where it was never opened. Blocks for a moment."""
        self._outbox.put(None)
        for thread in self._threads:
            thread.join(_JOIN_TIMEOUT_S)
        for end in (self._connection, self.child_end):
            with contextlib.suppress(OSError):
                end.close()

    def _send_more(self) -> None:
        descriptor = self._connection.fileno()
        try:
            self._unsent = write_now(descriptor, self._unsent)
        except OSError:
            self._unsent = []
        if not self._unsent:
            self._loop.remove_writer(descriptor)

    def _read_arrived(self, *, at_end: bool = False) -> None:
        """Take what has arrived: it never waits for the rest of a frame."""
        descriptor = self._connection.fileno()
        try:
            data = os.read(descriptor, _READ_BYTES)
        except BlockingIOError:
            if not at_end:
                return
            data = b""
        except OSError:
            data = b""
        frames: list[bytes] = []
        if data:
            try:
                frames = self._frames.feed(data)
            except MalformedFrameError as error:
                _log.error("child sent what is no frame", child=self.name, reason=str(error))
                data = b""
        if not data:
            self._tell_end()
            return
        for frame in frames:
            self._on_frame(frame)

    def _tell_end(self) -> None:
        descriptor = self._connection.fileno()
        self._told_end = True
        self._loop.remove_reader(descriptor)
        self._loop.remove_writer(descriptor)
        self._on_end()

    # -- where the loop can't watch ---------------------------------------------------------------

    def _start_thread(self, run: Callable[[], None], role: str) -> None:
        thread = threading.Thread(target=run, name=f"{self.name}-{role}", daemon=True)
        thread.start()
        self._threads.append(thread)

    def _read_frames(self) -> None:
        while True:
            try:
                # What is larger, or has no size, closes the connection: an OSError.
                frame = self._connection.recv_bytes(MAX_FRAME_BYTES)
            except (EOFError, OSError):
                break
            if not self._tell(self._on_frame, frame):
                break
        self._tell(self._on_end)

    def _send_blocking(self, request: bytes, *, follows: bool) -> None:
        """Send immediately what cannot block: a thread would have to be woken for it."""
        if follows or len(request) > _DIRECT_BYTES:
            self._outbox.put(request)
            return
        with contextlib.suppress(OSError):
            self._connection.send_bytes(request)

    def _send_queued(self) -> None:
        while (request := self._outbox.get()) is not None:
            with contextlib.suppress(OSError):
                self._connection.send_bytes(request)

    def _tell(self, callback: Callable[..., None], *args: object) -> bool:
        try:
            self._loop.call_soon_threadsafe(callback, *args)
        except RuntimeError:  # the loop is closed: nobody is left to be told
            return False
        return True
