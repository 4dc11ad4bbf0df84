"""A server on a real socket, whose connections are bounded; its application is the test's."""

import asyncio
import contextlib
import socket
import ssl
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import msgspec
import uvicorn

from service.wire.accepting import Accepting
from service.wire.certificates import Certificates
from service.wire.limits import WireLimits
from service.wire.watch import Watch

App = Callable[..., Awaitable[None]]
LIMITS = WireLimits(
    max_connections=100,
    max_bodies_bytes=1_000_000,
    max_body_bytes=400_000,
    head_timeout_s=0.4,
    body_timeout_s=0.4,
    keep_alive_s=30,
    health_paths=frozenset({b"/health"}),
)
_ANSWER_LIMIT_S = 10


class Client:
    """One connection, over which bytes are sent as they are."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader = reader
        self._writer = writer

    async def send(self, data: bytes) -> None:
        """Send bytes, as far as they are taken; a connection that was ended takes none."""
        self._writer.write(data)
        with contextlib.suppress(ConnectionError):
            await self._writer.drain()

    async def head(self) -> bytes:
        """Return the next answer's head as it came."""
        async with asyncio.timeout(_ANSWER_LIMIT_S):
            return await self._reader.readuntil(b"\r\n\r\n")

    async def answer(self) -> tuple[int, bytes]:
        """Return the next answer's status and body; status 0 where the connection ended."""
        async with asyncio.timeout(_ANSWER_LIMIT_S):
            try:
                head = await self.head()
                lines = head.lower().split(b"\r\n")
                length = next(int(x[15:]) for x in lines if x.startswith(b"content-length:"))
                return int(head.split()[1]), await self._reader.readexactly(length)
            except (asyncio.IncompleteReadError, ConnectionError):
                return 0, b""

    async def has_ended(self) -> bool:
        """Wait until the server has ended the connection."""
        async with asyncio.timeout(_ANSWER_LIMIT_S):
            with contextlib.suppress(ConnectionError):
                return await self._reader.read() == b""
        return True

    def leave(self) -> None:
        """Hang up without a word."""
        self._writer.transport.abort()


class WireServer:
    """A server that runs, and the connections to it."""

    def __init__(
        self,
        watch: Watch,
        refused: Counter[str],
        port: int,
        client_context: ssl.SSLContext | None = None,
    ) -> None:
        self.watch = watch
        self.refused = refused
        """What it counts for the metrics."""
        self.port = port
        self._client_context = client_context
        self._clients: list[Client] = []

    async def connect(self, data: bytes = b"", *, small_buffer: bool = False) -> Client:
        """Open a connection, and send so much; with a small buffer it takes little unread."""
        raw = socket.socket()
        raw.setblocking(False)  # noqa: FBT003 - its only form
        if small_buffer:
            raw.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        await asyncio.get_running_loop().sock_connect(raw, ("127.0.0.1", self.port))
        limit = 4096 if small_buffer else 2**16
        tls: dict[str, Any] = {}
        if self._client_context is not None:
            tls = {"ssl": self._client_context, "server_hostname": "127.0.0.1"}
        client = Client(*await asyncio.open_connection(sock=raw, limit=limit, **tls))
        self._clients.append(client)
        await client.send(data)
        return client

    def close(self) -> None:
        """Leave every connection."""
        for client in self._clients:
            client.leave()


@contextlib.asynccontextmanager
async def serve(
    app: App,
    *,
    certificates: Certificates | None = None,
    client_context: ssl.SSLContext | None = None,
    **changed: Any,
) -> AsyncIterator[WireServer]:
    """Serve an application, with some of LIMITS changed; over TLS where there are certificates."""
    refused = Counter[str]()
    watch = Watch(msgspec.structs.replace(LIMITS, **changed), refused)
    listener = socket.create_server(("127.0.0.1", 0))
    config = uvicorn.Config(
        app,
        http=Accepting(watch, listener, certificates),  # type: ignore[arg-type]
        ws="none",
        lifespan="off",
        log_config=None,
        access_log=False,
        timeout_graceful_shutdown=1,
        server_header=False,
        proxy_headers=False,
    )
    server = uvicorn.Server(config)
    config.load()
    server.lifespan = config.lifespan_class(config)
    await server.startup([listener])
    running = WireServer(watch, refused, listener.getsockname()[1], client_context)
    try:
        yield running
    finally:
        running.close()
        watch.is_ending = True
        await server.shutdown([listener])


async def until(is_so: Callable[[], bool], limit_s: float = 10) -> None:
    """Wait for a state of the server."""
    async with asyncio.timeout(limit_s):
        while not is_so():  # noqa: ASYNC110 - there is no event to wait for
            await asyncio.sleep(0.01)


async def echo(scope: Any, receive: Any, send: Any) -> None:
    """Answer with the method, the path and how long the body was."""
    size = 0
    while True:
        message = await receive()
        if message["type"] != "http.request":
            return
        size += len(message["body"])
        if not message["more_body"]:
            break
    said = f"{scope['method']} {scope['path']} {size}".encode()
    await reply(send, 200, said)


async def reply(send: Any, status: int, body: bytes) -> None:
    """Send an answer."""
    headers = [(b"content-length", b"%d" % len(body))]
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": body, "more_body": False})
