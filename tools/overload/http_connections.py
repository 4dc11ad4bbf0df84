"""HTTP/1.1 connections that carry one request at a time, for less than any library's cost."""

import asyncio
from typing import cast

from tools.overload.flight import Flight, LoadRecorder
from tools.overload.plan import Plan


class Connection(asyncio.Protocol, Flight):
    """One connection, and the request on it."""

    def __init__(self, pool: "HttpConnections") -> None:
        self._pool = pool
        self._buffer = b""
        self._needed = 0
        self.transport: asyncio.Transport | None = None

    def give_up(self) -> None:
        """Close the connection without waiting for what is on its way."""
        if self.transport is not None:
            self.transport.abort()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Keep the transport."""
        # uvloop's is none of asyncio's classes.
        self.transport = cast("asyncio.Transport", transport)

    def data_received(self, data: bytes) -> None:
        """Collect an answer."""
        self._buffer = self._buffer + data if self._buffer else data
        if not self._needed:
            head_end = self._buffer.find(b"\r\n\r\n")
            if head_end < 0:
                return
            head = self._buffer[:head_end].lower()
            at = head.index(b"content-length:") + 15
            end = head.find(b"\r\n", at)
            self._needed = head_end + 4 + int(head[at : end if end > 0 else None])
        if len(self._buffer) >= self._needed:
            status = self._buffer[9:12].decode()
            self._buffer, self._needed = b"", 0
            self._pool.note_answer(self, status)

    def connection_lost(self, exc: Exception | None) -> None:
        """Tell the pool."""
        del exc
        self.transport = None
        self._pool.note_lost(self)


class HttpConnections:
    """All connections of one plan. A request takes one that is free, or opens one."""

    def __init__(self, plan: Plan, recorder: LoadRecorder) -> None:
        self._plan = plan
        self._recorder = recorder
        self._idle: list[Connection] = []
        self._tasks: set[asyncio.Task[None]] = set()
        self.opening = 0
        self._request, self._probe = (
            b"POST %s HTTP/1.1\r\nhost: %s\r\ncontent-type: %s\r\ncontent-length: %d\r\n\r\n"
            % (plan.path.encode(), plan.host.encode(), plan.content_type.encode(), len(body))
            + body
            for body in (plan.body, plan.probe)
        )

    def send(self, due_s: float, *, is_probe: bool) -> None:
        """Send a request that was due at that time."""
        if self._idle:
            self._put(self._idle.pop(), due_s, is_probe=is_probe)
            return
        self.opening += 1
        task = asyncio.create_task(self._open(due_s, is_probe=is_probe))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _open(self, due_s: float, *, is_probe: bool) -> None:
        loop = asyncio.get_running_loop()
        try:
            async with asyncio.timeout(self._plan.limit_s):
                _, connection = await loop.create_connection(
                    lambda: Connection(self), self._plan.host, self._plan.port
                )
        except (OSError, TimeoutError):
            self._recorder.note_unconnected(is_probe=is_probe)
        else:
            self._put(connection, due_s, is_probe=is_probe)
        finally:
            self.opening -= 1

    def _put(self, connection: Connection, due_s: float, *, is_probe: bool) -> None:
        if connection.transport is None:
            self._recorder.note_unconnected(is_probe=is_probe)
            return
        connection.due_s, connection.is_probe = due_s, is_probe
        self._recorder.note_sent(connection)
        connection.transport.write(self._probe if is_probe else self._request)

    def note_answer(self, connection: Connection, status: str) -> None:
        """Let a connection take the next request."""
        if connection.transport is not None and not connection.transport.is_closing():
            self._idle.append(connection)
        self._recorder.note_answer(connection, status)

    def note_lost(self, connection: Connection) -> None:
        """Forget a connection that ended, and tell of the request on it."""
        if connection in self._idle:
            self._idle.remove(connection)
        else:
            self._recorder.note_broken(connection)
