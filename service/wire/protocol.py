"""HTTP over one connection, with bounds on what a caller may send, keep open and leave unread.

uvicorn bounds neither the size nor the time of a head or body, nor the time in which an answer is
taken. What is done about it here costs a request that comes in one read next to nothing: only
messages that span several reads are measured, and `Watch` looks at those.
"""

import asyncio
from functools import partial
from typing import Any, cast

import httptools
from uvicorn.config import Config
from uvicorn.protocols.http.flow_control import HIGH_WATER_LIMIT
from uvicorn.server import ServerState

from service.wire.cycle import Cycle
from service.wire.heads import announced_bytes, describe, head_size, head_without_upgrade
from service.wire.limits import (
    HEAD_BYTES,
    HEAD_FIELDS,
    PIPELINED,
    SPARE_CONNECTIONS,
    UNCOUNTED_BYTES,
)
from service.wire.refusals import BODIES_FULL, CONNECTIONS_FULL, HEAD_TOO_LARGE, MALFORMED, Refusal
from service.wire.watch import Watch
from service.wire.write_coalescing import CoalescingProtocol

_BETWEEN, _IN_HEAD, _IN_BODY, _ENDED = range(4)
"""Where in a message the next byte belongs; after the end, nothing is looked at any more."""


class _TooLargeError(Exception):
    """A head, or trailers, over their bounds; raised out of the parser."""


class BoundedProtocol(CoalescingProtocol):
    """uvicorn's protocol under the limits of a Watch, which all connections of a server share."""

    cycle: Cycle

    def __init__(
        self,
        watch: Watch,
        *,
        config: Config,
        server_state: ServerState,
        app_state: dict[str, Any],
        _loop: asyncio.AbstractEventLoop | None = None,
    ) -> None:
        super().__init__(config, server_state, app_state, _loop)
        self._watch = watch
        self._place = _BETWEEN
        self._head_bytes = 0
        """The bytes of a head or trailers that came in earlier reads."""
        self._trailer_fields = 0
        self._framing_bytes = 0
        """The bytes that came in reads of a body and are none of it."""
        self._dry_bytes = 0
        """The bytes of these that have come since the last byte of a body."""
        self._is_upgrade = False
        self._reading_bytes = 0
        """The bytes of the read that is being parsed."""
        self._refusal: Refusal | None = None
        """The refusal that the parser was stopped for."""
        self._over_limit = False
        """Whether there were too many connections when it came."""
        self._answering: Cycle | None = None
        self.body_bytes = 0

    # -- the connection --------------------------------------------------------------------------

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Begin with a connection, or end it where there are too many."""
        super().connection_made(transport)
        watch = self._watch
        watch.add(self.loop)
        limit = watch.limits.max_connections
        if watch.is_ending:
            self.end_idle()
        elif watch.open <= limit or watch.make_room():
            watch.idle[self] = watch.now_s
        elif watch.open <= limit + SPARE_CONNECTIONS:
            self._over_limit = True
            watch.heads[self] = watch.now_s
        else:
            watch.note_refused(CONNECTIONS_FULL.code)
            self.abort()

    def handshake_began(self) -> None:
        """Give the caller for TLS's handshake the time that a head has."""
        watch = self._watch
        if watch.idle.pop(self, None) is not None:
            watch.heads[self] = watch.now_s

    def handshake_ended(self) -> None:
        """Wait for requests, unless there are too many connections for that."""
        watch = self._watch
        if not self._over_limit and watch.heads.pop(self, None) is not None:
            watch.idle[self] = watch.now_s

    def connection_lost(self, exc: Exception | None) -> None:
        """Forget it. Whatever answers it learns that nobody waits."""
        self._place = _ENDED
        self._release_head()
        self._watch.forget(self)
        if self._answering is not None:
            self._answering.give_up()
        for cycle, _ in self.pipeline:
            self._release(cast("Cycle", cycle))
        self.pipeline.clear()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        """Take what has come."""
        watch = self._watch
        if self._place == _BETWEEN:
            watch.idle.pop(self, None)
        elif self._place == _IN_HEAD:
            self._head_bytes += len(data)
            watch.held_bytes += len(data)
        elif self._place == _ENDED:
            return
        # Of the message whose body this goes on with: the next one has other headers.
        before, headers = self.body_bytes, self.headers if self._place == _IN_BODY else None
        self._reading_bytes = len(data)
        try:
            self._parse(data)
        except httptools.HttpParserError:
            self.refuse(self._refusal or MALFORMED)
            return
        if self._place == _IN_BODY and headers is self.headers:
            # What frames it: the sizes of chunks and their extensions, and trailers.
            of_body = self.body_bytes - before
            self._framing_bytes += len(data) - of_body
            self._dry_bytes = 0 if of_body else self._dry_bytes + len(data)
        if self._place != _BETWEEN:
            self._note_unfinished()
        elif self.cycle is None or self.cycle.response_complete:
            # An empty line, or the rest of a body that was answered before its end.
            watch.idle[self] = watch.now_s

    def pause_writing(self) -> None:
        """Watch how the answer is taken, which is larger than what the kernel keeps for it."""
        super().pause_writing()
        self._watch.note_writing(self)

    def resume_writing(self) -> None:
        """Stop to watch it."""
        super().resume_writing()
        self._watch.writing.pop(self, None)

    # -- the parser's callbacks ------------------------------------------------------------------

    def on_message_begin(self) -> None:
        """Begin with a request."""
        if len(self.pipeline) >= PIPELINED:
            self._stop(MALFORMED)
        self._place = _IN_HEAD
        self.body_bytes = self._framing_bytes = self._dry_bytes = self._trailer_fields = 0
        super().on_message_begin()

    def on_header(self, name: bytes, value: bytes) -> None:
        """Take a header. Trailers are dropped: they must not pass for what stood in the head."""
        if self._place == _IN_BODY:
            self._trailer_fields += 1
            if self._trailer_fields > HEAD_FIELDS:
                self._stop(HEAD_TOO_LARGE)
            return
        name = name.lower()
        if name == b"expect" and value.lower() == b"100-continue":
            self.expect_100_continue = True
        self.headers.append((name, value))
        if len(self.headers) > HEAD_FIELDS:
            self._stop(HEAD_TOO_LARGE)

    def on_headers_complete(self) -> None:
        """Begin to answer, or queue up behind what is answered before."""
        if self._head_bytes or self._reading_bytes > HEAD_BYTES:
            self._check_head()
        parser = self.parser
        if parser.should_upgrade():
            self._is_upgrade = True
            return
        scope = self.scope
        http_version = describe(scope, parser, self.url)
        if self._over_limit:
            self._watch.heads.pop(self, None)
            if scope["raw_path"] not in self._watch.limits.health_paths:
                self._stop(CONNECTIONS_FULL)
        self._place = _IN_BODY
        before = self.cycle
        self.cycle = cycle = Cycle(
            scope=scope,
            transport=self.transport,
            flow=self.flow,
            logger=self.logger,
            access_logger=self.access_logger,
            access_log=self.access_log,
            default_headers=self.server_state.default_headers,
            message_event=asyncio.Event(),
            expect_100_continue=self.expect_100_continue,
            keep_alive=(
                http_version != "1.0" and parser.should_keep_alive() and not self._over_limit
            ),
            on_response=self.on_response_complete,
        )
        if before is None or before.response_complete:
            self._start_asgi_task(cycle, self.app)
        else:
            self.flow.pause_reading()
            self.pipeline.appendleft((cycle, self.app))

    def on_body(self, body: bytes) -> None:
        """Take a part of a body."""
        cycle = self.cycle
        self.body_bytes += len(body)
        if cycle.response_complete:
            return
        cycle.body += body
        if len(cycle.body) > HIGH_WATER_LIMIT:
            self.flow.pause_reading()
        cycle.message_event.set()

    def on_message_complete(self) -> None:
        """Know that all of a request is there."""
        if self._is_upgrade:
            return
        self._place = _BETWEEN
        cycle = self.cycle
        if cycle.held_bytes:
            self._hold(cycle)
        self._watch.bodies.pop(self, None)
        if not cycle.response_complete:
            cycle.more_body = False
            cycle.message_event.set()

    def _start_asgi_task(self, cycle: Any, app: Any) -> None:
        self._answering = cycle
        cycle.task = task = self.loop.create_task(cycle.run_asgi(app))
        task.add_done_callback(self.tasks.discard)
        self.tasks.add(task)
        if cycle.held_bytes:
            task.add_done_callback(partial(self._release, cycle))

    def on_response_complete(self) -> None:
        """Go on with the next request, or wait for one."""
        self.server_state.total_requests += 1
        if self.transport.is_closing():
            if self.unsent_bytes and self not in self._watch.writing:
                self._watch.note_writing(self)
            return
        self.flow.resume_reading()
        if self.pipeline:
            cycle, app = self.pipeline.pop()
            self._start_asgi_task(cycle, app)
        elif self._place == _BETWEEN:
            watch = self._watch
            watch.idle[self] = watch.now_s

    # -- what the Watch asks and tells -----------------------------------------------------------

    @property
    def is_ours_to_read(self) -> bool:
        """Whether the caller is kept from sending for now."""
        return bool(self.flow.read_paused)

    @property
    def unsent_bytes(self) -> int:
        """How much of answers is still to be sent."""
        return self.transport.get_write_buffer_size()

    def refuse(self, refusal: Refusal) -> None:
        """Answer so, if no other answer has begun or is to come before, and close."""
        if self._place == _ENDED or self.transport.is_closing():
            return
        unfinished = self.cycle if self._place == _IN_BODY else None
        self._place = _ENDED
        self._release_head()
        self._watch.note_refused(refusal.code)
        self._watch.heads.pop(self, None)
        self._watch.bodies.pop(self, None)
        if unfinished is not None:
            unfinished.give_up()
            if self.pipeline and self.pipeline[0][0] is unfinished:
                self.pipeline.popleft()
                self._release(unfinished)
        before = self.pipeline[0][0] if self.pipeline else self._answering
        if before is not None and before is not unfinished and not before.response_complete:
            # That one is answered first; then the connection ends.
            before.keep_alive = False
            return
        if unfinished is None or not unfinished.response_started:
            self.transport.write(refusal.raw)
        self._linger()

    def end_idle(self) -> None:
        """Close it: nothing is under way."""
        self._watch.idle.pop(self, None)
        self._place = _ENDED
        if self.transport.get_write_buffer_size():
            # What was not taken in all this time would keep it open for ever.
            self.abort()
        else:
            self.transport.close()

    def abort(self) -> None:
        """End it, whatever is still to be sent."""
        self._place = _ENDED
        self.transport.abort()

    # -- what is unfinished ----------------------------------------------------------------------

    def _note_unfinished(self) -> None:
        """Measure a message that goes on in another read, and have it watched."""
        watch = self._watch
        if self._place == _IN_HEAD:
            if self._head_bytes > HEAD_BYTES:
                self.refuse(HEAD_TOO_LARGE)
            elif self._head_bytes > UNCOUNTED_BYTES and not watch.has_room():
                self.refuse(BODIES_FULL)
            else:
                watch.heads.setdefault(self, watch.now_s)
            return
        most = HEAD_BYTES + self.body_bytes // 4
        if self._framing_bytes > most or self._dry_bytes > HEAD_BYTES:
            self.refuse(MALFORMED)
            return
        cycle = self.cycle
        if cycle.response_complete:
            if self.body_bytes > watch.limits.max_body_bytes:
                self._place = _ENDED
                watch.bodies.pop(self, None)
                self._linger()
                return
        else:
            more = self.body_bytes - cycle.held_bytes
            if not cycle.held_bytes:
                more = max(more, announced_bytes(self.headers, watch.limits.max_body_bytes))
            if self.body_bytes + more > UNCOUNTED_BYTES and not watch.has_room(more):
                self.refuse(BODIES_FULL)
                return
            self._hold(cycle)
        watch.note_body(self)

    def _hold(self, cycle: Cycle) -> None:
        """Count what has come of a body, until the application is done with it.

        A caller that hangs up leaves it to the application all the same.
        """
        if not cycle.held_bytes and cycle.task:
            cycle.task.add_done_callback(partial(self._release, cycle))
        self._watch.held_bytes += self.body_bytes - cycle.held_bytes
        cycle.held_bytes = self.body_bytes

    def _release(self, cycle: Cycle, _: object = None) -> None:
        self._watch.held_bytes -= cycle.held_bytes
        cycle.held_bytes = 0

    def _parse(self, data: bytes) -> None:
        """Parse what has come. Raise HttpParserError for what is refused."""
        try:
            self.parser.feed_data(data)
        except httptools.HttpParserUpgrade as upgrade:
            if self.parser.get_method() == b"CONNECT":
                self._refusal = MALFORMED
                raise httptools.HttpParserError from None
            self._is_upgrade = False
            head = head_without_upgrade(self.parser, self.url, self.headers)
            self.parser = httptools.HttpRequestParser(self)
            self.parser.feed_data(head)
            if upgrade.args[0] < len(data):
                self._parse(data[upgrade.args[0] :])

    def _check_head(self) -> None:
        """Measure a head that came in several reads, or in a large one with other things."""
        self._release_head()
        self._watch.heads.pop(self, None)
        if head_size(self.url, self.headers) > HEAD_BYTES:
            self._stop(HEAD_TOO_LARGE)

    def _release_head(self) -> None:
        self._watch.held_bytes -= self._head_bytes
        self._head_bytes = 0

    def _linger(self) -> None:
        """Let the caller read the answer before the connection ends, and ignore what it sends."""
        self.transport.write_eof()
        self._watch.lingering[self] = self._watch.now_s
        self.flow.resume_reading()

    def _stop(self, refusal: Refusal) -> None:
        """Stop the parser; what it has is refused."""
        self._refusal = refusal
        raise _TooLargeError
