"""Send an answer's head and body by one call into the kernel, and so in one packet.

uvicorn writes them one after the other. Each write costs as much as routing the request, and the
first one wakes the caller for half an answer.
"""

import asyncio
from collections.abc import Iterable
from typing import Any, cast

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol


class CoalescingProtocol(HttpToolsProtocol):
    """uvicorn's HTTP protocol on a transport that sends what is written in one step together."""

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Begin with a connection."""
        joining = CoalescingTransport(transport, self.loop)
        super().connection_made(cast("asyncio.Transport", joining))


class CoalescingTransport:
    """Holds the first write until a second one comes, or the loop comes round."""

    def __init__(self, transport: asyncio.Transport, loop: asyncio.AbstractEventLoop) -> None:
        self._transport = transport
        self._loop = loop
        self._held = b""

    def write(self, data: bytes) -> None:
        """Send it, with what is held; or hold it, for as long as the current step takes."""
        if self._held:
            held, self._held = self._held, b""
            self._transport.writelines((held, data))
        elif data:
            self._held = data
            self._loop.call_soon(self._flush)

    def write_whole(self, data: bytes) -> None:
        """Send what nothing follows, after what is held."""
        self._flush()
        self._transport.write(data)

    def writelines(self, parts: Iterable[bytes]) -> None:
        """Send parts in order, after what is held."""
        self._flush()
        self._transport.writelines(parts)

    def close(self) -> None:
        """Close once everything is sent."""
        self._flush()
        self._transport.close()

    def write_eof(self) -> None:
        """Send everything, and that nothing follows."""
        self._flush()
        self._transport.write_eof()

    def __getattr__(self, name: str) -> Any:
        """Be the transport in everything else."""
        return getattr(self._transport, name)

    def _flush(self) -> None:
        if self._held:
            data, self._held = self._held, b""
            self._transport.write(data)
