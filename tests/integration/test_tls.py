"""TLS on real sockets: limits hold from the first byte on, and a new certificate loses nobody."""

import asyncio
import os
import socket
import ssl
from pathlib import Path
from typing import Any

import pytest

from service.wire.certificates import Certificates
from tests.support.made_certificates import make_certificate, the_authority
from tests.support.wire_server import WireServer, echo, reply, serve, until

pytestmark = pytest.mark.loops("asyncio", "uvloop")

GET = b"GET /x HTTP/1.1\r\nhost: t\r\n\r\n"
CLOSE = GET[:-2] + b"connection: close\r\n\r\n"
POST = b"POST /x HTTP/1.1\r\nhost: t\r\ncontent-length: %d\r\n\r\n"


@pytest.fixture
def files(tmp_path: Path) -> tuple[Path, Path]:
    """Write a pair, and return where."""
    pair = tmp_path / "tls.crt", tmp_path / "tls.key"
    make_certificate(the_authority()).write(*pair)
    return pair


@pytest.fixture
def tls(files: tuple[Path, Path]) -> dict[str, Any]:
    """Return what has a server speak TLS, and its clients trust it."""
    return {
        "certificates": Certificates(*files),
        "client_context": the_authority().client_context(),
    }


async def in_the_open(server: WireServer, data: bytes = b"") -> Any:
    """Connect without TLS, and send so much."""
    reader, writer = await asyncio.open_connection("127.0.0.1", server.port)
    writer.write(data)
    return reader, writer


async def ended(reader: asyncio.StreamReader) -> bytes:
    """Return what comes until the connection ends."""
    async with asyncio.timeout(10):
        try:
            return await reader.read()
        except ConnectionError:
            return b""


async def test_requests_are_answered_as_without_it(tls: dict[str, Any]) -> None:
    """Large and small, one after another, pipelined, in bytes; and the end is said, too."""
    large = b"x" * 5_000_000

    async def app(scope: Any, receive: Any, send: Any) -> None:
        assert scope["scheme"] == "https"
        assert scope["client"][0] == scope["server"][0] == "127.0.0.1"
        if scope["path"] == "/large":
            await reply(send, 200, large)
        else:
            await echo(scope, receive, send)

    async with serve(app, **tls) as server:
        client = await server.connect(GET * 2 + POST % 300_000 + b"y" * 300_000)
        assert [await client.answer() for _ in range(2)] == [(200, b"GET /x 0")] * 2
        assert await client.answer() == (200, b"POST /x 300000")
        for at in range(len(GET)):
            await client.send(GET[at : at + 1])
        assert await client.answer() == (200, b"GET /x 0")
        await client.send(GET.replace(b"/x", b"/large"))
        assert await client.answer() == (200, large)
        await client.send(CLOSE)
        assert await client.answer() == (200, b"GET /x 0")
        assert await client.has_ended()
        await until(lambda: not server.watch.open)


async def test_a_new_certificate_loses_nobody(
    files: tuple[Path, Path], tls: dict[str, Any]
) -> None:
    """Who is connected stays so; a handshake that began before ends well; new ones see the new."""
    certificates: Certificates = tls["certificates"]

    def shown(client: Any) -> bytes:
        return bytes(client._writer.get_extra_info("ssl_object").getpeercert(binary_form=True))

    async with serve(echo, **tls) as server:
        before = await server.connect(GET)
        assert (await before.answer())[0] == 200
        # One that is in mid-handshake: what it sends reaches the server by hand.
        raw = socket.create_connection(("127.0.0.1", server.port))
        raw.setblocking(False)  # noqa: FBT003 - its only form
        incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
        half = tls["client_context"].wrap_bio(incoming, outgoing, server_hostname="127.0.0.1")
        with pytest.raises(ssl.SSLWantReadError):
            half.do_handshake()
        loop, hello = asyncio.get_running_loop(), outgoing.read()
        await loop.sock_sendall(raw, hello[:50])
        await until(lambda: bool(server.watch.heads))

        made = make_certificate(the_authority())
        made.write(*files)
        await certificates.look()
        after = await server.connect(GET)
        assert shown(after) == made.der
        assert shown(before) != made.der
        await before.send(GET)
        for client in (before, after):
            assert (await client.answer())[0] == 200
        await loop.sock_sendall(raw, hello[50:])
        async with asyncio.timeout(10):
            incoming.write(await loop.sock_recv(raw, 65_536))
        half.do_handshake()
        assert half.getpeercert(binary_form=True) == shown(before)
        raw.close()


@pytest.mark.filterwarnings("ignore:ssl.TLSVersion:DeprecationWarning")
@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_1, ssl.TLSVersion.TLSv1_2])
async def test_nothing_below_1_2_is_spoken(tls: dict[str, Any], version: ssl.TLSVersion) -> None:
    """Whatever a caller would take; and a caller that offers 1.2 at most is answered."""
    context: ssl.SSLContext = tls["client_context"]
    context.set_ciphers("DEFAULT:@SECLEVEL=0")
    context.minimum_version = ssl.TLSVersion.MINIMUM_SUPPORTED
    context.maximum_version = version
    async with serve(echo, **tls) as server:
        if version is ssl.TLSVersion.TLSv1_1:
            with pytest.raises((ssl.SSLError, ConnectionError)):
                await server.connect(GET)
        else:
            assert (await (await server.connect(GET)).answer())[0] == 200


async def test_a_handshake_has_the_time_of_a_head(tls: dict[str, Any]) -> None:
    """One that is never gone on with, or never drips to its end, has no place for ever."""
    async with serve(echo, keep_alive_s=30, **tls) as server:
        began = [await in_the_open(server, data) for data in (b"\x16", b"\x16\x03\x01\x02\x00\x01")]
        await until(lambda: len(server.watch.heads) == len(began))
        for reader, writer in began:
            assert await ended(reader) == b""
            writer.close()
        await until(lambda: not server.watch.open)


async def test_what_is_no_tls_is_ended_and_others_go_on(tls: dict[str, Any]) -> None:
    """Plain HTTP, nonsense, and nonsense after a good handshake: it is one line in the log."""
    async with serve(echo, **tls) as server:
        good = await server.connect(GET)
        assert (await good.answer())[0] == 200
        for sent in (GET, bytes(range(256)) * 40, b"\x16\x03\x03\xff\xff" + b"x" * 65_536):
            reader, writer = await in_the_open(server, sent)
            assert b"HTTP" not in await ended(reader)
            writer.close()
        assert server.refused["tls-handshake"] == 3

        client = await server.connect(GET)
        assert (await client.answer())[0] == 200
        # Past the client's own TLS.
        raw = client._writer.get_extra_info("socket")
        with socket.socket(fileno=os.dup(raw.fileno())) as past:
            past.setblocking(False)  # noqa: FBT003 - its only form
            past.send(b"\x17\x03\x03\x00\x20" + b"x" * 32)
        with pytest.raises(ssl.SSLError, match="BAD_RECORD_MAC"):
            await client.has_ended()
        await good.send(GET)
        assert (await good.answer())[0] == 200


async def test_handshakes_count_as_connections(tls: dict[str, Any]) -> None:
    """They take no more places than requests do, and give way as idle connections do."""
    async with serve(echo, max_connections=3, head_timeout_s=20, **tls) as server:
        silent = [await in_the_open(server) for _ in range(10)]
        await until(lambda: server.watch.open == 3)
        assert [await ended(reader) for reader, _ in silent[:7]] == [b""] * 7
        good = await server.connect(GET)
        assert (await good.answer())[0] == 200
        for _, writer in silent:
            writer.close()


async def test_what_is_refused_reads_its_answer(tls: dict[str, Any]) -> None:
    """And then the end."""
    async with serve(echo, **tls) as server:
        client = await server.connect(b"GET /" + b"x" * 400_000)
        assert (await client.answer())[0] == 431
        assert await client.has_ended()


async def test_a_caller_that_takes_nothing_is_ended(tls: dict[str, Any]) -> None:
    """What is encrypted for it counts, and has its time, as without TLS; with `close` as well."""

    async def app(_scope: Any, _receive: Any, send: Any) -> None:
        await reply(send, 200, b"x" * 8_000_000)

    async with serve(app, max_bodies_bytes=20_000_000, **tls) as server:
        for sent in (GET, CLOSE):
            await server.connect(sent, small_buffer=True)
        await until(lambda: len(server.watch.writing) == 2)
        await until(lambda: server.watch.unsent_bytes > 10_000_000)
        await until(lambda: not server.watch.open)


async def test_a_crowd_of_handshakes_lets_requests_through(tls: dict[str, Any]) -> None:
    """They go on a few in each turn of the loop: who is connected is answered between them."""
    async with serve(echo, max_connections=300, **tls) as server:
        good = await server.connect(GET)
        assert (await good.answer())[0] == 200
        context: ssl.SSLContext = tls["client_context"]
        crowd = []
        for _ in range(100):
            incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
            with pytest.raises(ssl.SSLWantReadError):
                context.wrap_bio(incoming, outgoing, server_hostname="127.0.0.1").do_handshake()
            raw = socket.create_connection(("127.0.0.1", server.port))
            raw.sendall(outgoing.read())
            crowd.append(raw)
        await good.send(GET)
        assert (await good.answer())[0] == 200
        assert len(server.watch.heads) < len(crowd)
        await until(lambda: len(server.watch.heads) == len(crowd))
        for raw in crowd:
            raw.close()
