"""TLS between a connection and its protocol.

Not the event loop's: with that a connection is known to nobody until it has shaken hands, and what
it has encrypted and not sent is seen by nobody. Here a connection has its place under the limits
from its first byte on, and its unsent bytes are the kernel's next ones, as without TLS.
"""

import asyncio
import contextlib
import ssl
from collections import deque
from collections.abc import Callable, Iterable
from typing import Any, Protocol

_READ_BYTES = 65_536
_JOINED_BYTES = 65_536
"""So much is encrypted together; of a larger write each part goes on its own."""
_HANDSHAKES_TOGETHER = 8
"""Handshakes that go on in one turn of the event loop, which they hold for some milliseconds."""
_HANDSHAKE = "tls-handshake"


class Inner(Protocol):
    """What speaks over a connection: `protocol.BoundedProtocol`."""

    def connection_made(self, transport: asyncio.Transport) -> None:
        """Begin, on a transport that takes nothing before `handshake_ended`."""
        ...

    def handshake_began(self) -> None:
        """Know that the caller has sent something, and must go on."""
        ...

    def handshake_ended(self) -> None:
        """Know that requests may come."""
        ...

    def data_received(self, data: bytes) -> None:
        """Take what has come."""
        ...

    def eof_received(self) -> bool | None:
        """Know that nothing more comes."""
        ...

    def pause_writing(self) -> None:
        """Stop to write."""
        ...

    def resume_writing(self) -> None:
        """Go on writing."""
        ...

    def connection_lost(self, exc: Exception | None) -> None:
        """Forget the connection."""
        ...


class Handshakes:
    """Has handshakes go on a few in each turn of the event loop: each holds it for part of 1 ms."""

    def __init__(self, note_refused: Callable[[str], None]) -> None:
        self._due: deque[Callable[[], None]] = deque()
        self.note_refused = note_refused

    def go_on(self, step: Callable[[], None]) -> None:
        """Have a step of one taken soon."""
        if not self._due:
            asyncio.get_running_loop().call_soon(self._take_some)
        self._due.append(step)

    def _take_some(self) -> None:
        now = [self._due.popleft() for _ in range(min(len(self._due), _HANDSHAKES_TOGETHER))]
        if self._due:
            asyncio.get_running_loop().call_soon(self._take_some)
        for step in now:
            step()


class TlsProtocol(asyncio.Protocol):
    """Has a connection shake hands, then passes on what it decrypts to the protocol within."""

    def __init__(self, inner: Inner, context: ssl.SSLContext, handshakes: Handshakes) -> None:
        self._inner = inner
        self._handshakes = handshakes
        self._incoming = ssl.MemoryBIO()
        self._outgoing = ssl.MemoryBIO()
        self._tls = context.wrap_bio(self._incoming, self._outgoing, server_side=True)
        self._begun = self._due = self._ready = False
        self._transport: TlsTransport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Begin: what is within is counted from now on."""
        self._transport = TlsTransport(transport, self._tls, self._outgoing)  # type: ignore[arg-type]
        self._inner.connection_made(self._transport)  # type: ignore[arg-type]

    def data_received(self, data: bytes) -> None:
        """Decrypt what has come."""
        transport = self._transport
        if transport is None or transport.is_deaf:
            return
        self._incoming.write(data)
        if self._ready:
            self._read(transport)
        elif not self._due:
            self._due = True
            self._handshakes.go_on(self._go_on)

    def eof_received(self) -> bool | None:
        """Pass it on."""
        return self._inner.eof_received()

    def pause_writing(self) -> None:
        """Pass it on."""
        self._inner.pause_writing()

    def resume_writing(self) -> None:
        """Pass it on."""
        self._inner.resume_writing()

    def connection_lost(self, exc: Exception | None) -> None:
        """Pass it on."""
        if self._transport is not None:
            self._transport.is_deaf = True
        self._inner.connection_lost(exc)

    def _go_on(self) -> None:
        """Go on with the handshake, and read what came behind it."""
        self._due = False
        transport = self._transport
        if transport is None or transport.is_deaf:
            return
        if not self._begun:
            self._begun = True
            self._inner.handshake_began()
        if self._shake_hands(transport):
            self._read(transport)

    def _shake_hands(self, transport: "TlsTransport") -> bool:
        """Take a step of it; return whether it is complete."""
        try:
            self._tls.do_handshake()
        except ssl.SSLWantReadError:
            transport.send_encrypted()
            return False
        except ssl.SSLError:
            # It was told why, by what OpenSSL has written.
            transport.send_encrypted()
            self._handshakes.note_refused(_HANDSHAKE)
            transport.close()
            return False
        self._ready = transport.is_ready = True
        transport.send_encrypted()
        self._inner.handshake_ended()
        return True

    def _read(self, transport: "TlsTransport") -> None:
        """Pass on what can be decrypted: all of it in one piece, as it comes without TLS."""
        parts: list[bytes] = []
        ends = breaks = False
        while not ends:
            try:
                part = self._tls.read(_READ_BYTES)
            except ssl.SSLWantReadError:
                break
            except ssl.SSLZeroReturnError:
                ends = True
            except ssl.SSLError:
                # What was decrypted before is whole all the same.
                ends = breaks = True
            else:
                parts.append(part)
                ends = not part
        # OpenSSL answers some messages by itself.
        transport.send_encrypted()
        if data := parts[0] if len(parts) == 1 else b"".join(parts):
            self._inner.data_received(data)
        if breaks:
            transport.abort()
        elif ends:
            transport.close()


class TlsTransport:
    """The connection as the protocol within sees it: a transport that encrypts what is written."""

    def __init__(
        self, transport: asyncio.Transport, tls: ssl.SSLObject, outgoing: ssl.MemoryBIO
    ) -> None:
        self._transport = transport
        self._tls = tls
        self._outgoing = outgoing
        self.is_ready = False
        """Whether hands are shaken: what is written before goes nowhere."""
        self.is_deaf = False
        """Whether what still comes is not to be looked at."""

    def write(self, data: bytes) -> None:
        """Encrypt it, and send it."""
        if self._encrypt(data):
            self.send_encrypted()

    def writelines(self, parts: Iterable[bytes]) -> None:
        """Encrypt several parts, and send them together."""
        known = list(parts)
        if sum(map(len, known)) <= _JOINED_BYTES:
            known = [b"".join(known)]
        if all(self._encrypt(part) for part in known):
            self.send_encrypted()

    def write_eof(self) -> None:
        """Send everything, and that nothing follows."""
        if not self.is_deaf:
            self._end()
            self._transport.write_eof()

    def close(self) -> None:
        """Close once everything is sent. The caller is told, and not waited for."""
        if not self.is_deaf:
            self._end()
        self._transport.close()

    def abort(self) -> None:
        """End it, whatever is still to be sent."""
        self.is_deaf = True
        self._transport.abort()

    def get_extra_info(self, name: str, default: Any = None) -> Any:
        """Return what is known of the connection, and of TLS."""
        if name == "sslcontext":
            return self._tls.context
        if name == "ssl_object":
            return self._tls
        return self._transport.get_extra_info(name, default)

    def __getattr__(self, name: str) -> Any:
        """Be the transport in everything else: its buffer has all that is not sent."""
        return getattr(self._transport, name)

    def send_encrypted(self) -> None:
        """Send what OpenSSL has written."""
        if self._outgoing.pending:
            self._transport.write(self._outgoing.read())

    def _encrypt(self, data: bytes) -> bool:
        """Encrypt all of it; return whether there is something to be sent."""
        if not self.is_ready or self.is_deaf:
            return False
        left = memoryview(data)
        while left:
            try:
                # A record at a time.
                left = left[self._tls.write(left) :]
            except ssl.SSLError:
                self.abort()
                return False
        return True

    def _end(self) -> None:
        """Send that nothing follows, and look at nothing that does."""
        self.is_deaf = True
        if self.is_ready:
            # As a rule it raises: the caller's own end has not come yet.
            with contextlib.suppress(ssl.SSLError):
                self._tls.unwrap()
            self.send_encrypted()
