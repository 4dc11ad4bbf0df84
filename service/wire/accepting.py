"""Accepts the connections that wait together, where the event loop would take one in each turn.

uvloop accepts one connection in a turn (libuv since 1.45, libuv#3696). A turn in which a thousand
requests are answered takes a tenth of a second, so callers that come back together, and a probe of
`/health` behind them, would wait for many seconds although every request is answered in time.
"""

import asyncio
import socket
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

from service.wire.certificates import Certificates
from service.wire.protocol import BoundedProtocol
from service.wire.tls import Handshakes, TlsProtocol
from service.wire.watch import Watch

_TOGETHER = 64
"""The most that are accepted in a turn of the event loop, which they hold for some milliseconds."""


class Accepting:
    """Makes the protocols of a server's connections, and accepts what waits beside each of them.

    uvicorn calls it for every connection that the event loop has accepted. With certificates
    connections speak TLS.
    """

    def __init__(
        self, watch: Watch, listener: socket.socket, certificates: Certificates | None = None
    ) -> None:
        listener.setblocking(False)  # noqa: FBT003 - its only form
        self._watch = watch
        self._listener = listener
        self._certificates = certificates
        self._handshakes = Handshakes(watch.note_refused)
        self._is_due = False
        self._opening: set[asyncio.Task[None]] = set()

    def __call__(self, **given: Any) -> asyncio.Protocol:
        """Make a protocol, with what uvicorn gives to all of them."""
        make = partial(self._make, given)
        if not self._is_due:
            self._is_due = True
            asyncio.get_running_loop().call_soon(self._accept_waiting, make)
        return make()

    def _make(self, given: Mapping[str, Any]) -> asyncio.Protocol:
        protocol = BoundedProtocol(self._watch, **given)
        if self._certificates is None:
            return protocol
        context = self._certificates.current.context
        return TlsProtocol(protocol, context, self._handshakes)

    def _accept_waiting(self, make: Callable[[], asyncio.Protocol]) -> None:
        self._is_due = False
        loop = asyncio.get_running_loop()
        for _ in range(_TOGETHER):
            if self._watch.is_ending:
                return
            try:
                connection, _ = self._listener.accept()
            except OSError:
                # None waits; or it can't be accepted, which the loop's own accept will meet.
                return
            task = loop.create_task(_open(make, connection))
            self._opening.add(task)
            task.add_done_callback(self._opening.discard)


async def _open(make: Callable[[], asyncio.Protocol], connection: socket.socket) -> None:
    connection.setblocking(False)  # noqa: FBT003 - its only form
    try:
        await asyncio.get_running_loop().connect_accepted_socket(make, connection)
    except OSError:
        # The caller has gone already.
        connection.close()
