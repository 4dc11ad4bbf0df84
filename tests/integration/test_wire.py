"""What a connection may send, hold open and leave unread, over real sockets."""

import asyncio
import json
from typing import Any

import pytest

from tests.support.wire_server import LIMITS, echo, reply, serve, until

pytestmark = pytest.mark.loops("asyncio", "uvloop")

GET = b"GET /x HTTP/1.1\r\nhost: t\r\n\r\n"
POST = b"POST /x HTTP/1.1\r\nhost: t\r\n"
CHUNKED = POST + b"transfer-encoding: chunked\r\n\r\n"


def with_body(length: int, *headers: bytes) -> bytes:
    """Return the head of a request with so long a body."""
    return POST + b"".join(h + b"\r\n" for h in headers) + b"content-length: %d\r\n\r\n" % length


def code_of(answer: tuple[int, bytes]) -> str:
    """Return the code of a problem's type."""
    kind: str = json.loads(answer[1])["type"]
    return kind.rpartition(":")[2]


# -- time ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("sent", [b"G", b"GET /x HTTP/1.1\r\nhost: t\r\nx-a", GET[:-1]])
async def test_half_a_head_is_answered_with_408(sent: bytes) -> None:
    """And the connection ends; what was answered on it before makes no difference."""
    async with serve(echo) as server:
        fresh, used = await server.connect(sent), await server.connect(GET)
        assert (await used.answer())[0] == 200
        await used.send(sent)
        for client in (fresh, used):
            answer = await client.answer()
            assert (answer[0], code_of(answer)) == (408, "head-timeout")
            assert await client.has_ended()
            client.leave()
        await until(lambda: not server.watch.open)
        assert server.refused == {"head-timeout": 2}
        assert server.watch.held_bytes == 0


async def test_a_head_that_drips_is_not_waited_for() -> None:
    """A byte now and then is no progress: the head as a whole has its time."""
    async with serve(echo) as server:
        client = await server.connect(b"GET /x HTTP/1.1\r\n")

        async def drip() -> None:
            while True:
                await client.send(b"a")
                await asyncio.sleep(0.05)

        dripping = asyncio.create_task(drip())
        assert (await client.answer())[0] == 408
        dripping.cancel()


@pytest.mark.parametrize(
    "sent", [with_body(100) + b"x", with_body(100), CHUNKED, CHUNKED + b"5\r\nab"]
)
async def test_half_a_body_is_answered_with_408(sent: bytes) -> None:
    """And nothing of it is held afterwards."""
    async with serve(echo) as server:
        client = await server.connect(sent)
        answer = await client.answer()
        assert (answer[0], code_of(answer)) == (408, "body-timeout")
        assert server.refused == {"body-timeout": 1}
        assert await client.has_ended()
        await until(lambda: not server.watch.held_bytes)


async def test_a_body_below_the_lowest_rate_is_not_waited_for() -> None:
    """It goes on all the time, and is too slow."""
    async with serve(echo) as server:
        client = await server.connect(with_body(10_000))

        async def drip() -> None:
            while True:
                await client.send(b"x")
                await asyncio.sleep(0.05)

        dripping = asyncio.create_task(drip())
        assert code_of(await client.answer()) == "body-timeout"
        dripping.cancel()


async def test_a_slow_body_is_taken_as_long_as_it_goes_on() -> None:
    """It takes many times BODY_TIMEOUT_S, at more than the lowest rate."""
    async with serve(echo) as server:
        client = await server.connect(with_body(40 * 200))
        for _ in range(40):
            await client.send(b"x" * 200)
            await asyncio.sleep(0.04)
        assert await client.answer() == (200, b"POST /x 8000")


async def test_the_model_may_take_longer_than_any_of_these_limits() -> None:
    """Once a request is there, its time is the application's; what is sent behind it waits."""

    async def slow(scope: Any, receive: Any, send: Any) -> None:
        await asyncio.sleep(1.2)
        await echo(scope, receive, send)

    async with serve(slow) as server:
        alone = await server.connect(with_body(3) + b"abc")
        pipelined = await server.connect(GET + with_body(3) + b"a")
        assert await alone.answer() == (200, b"POST /x 3")
        assert await pipelined.answer() == (200, b"GET /x 0")
        await pipelined.send(b"bc")
        assert await pipelined.answer() == (200, b"POST /x 3")


async def test_idle_connections_are_kept() -> None:
    """One that has sent nothing, one between two requests, and one that sent an empty line."""
    async with serve(echo) as server:
        fresh, used, empty = [await server.connect(data) for data in (b"", GET, b"\r\n")]
        assert (await used.answer())[0] == 200
        await asyncio.sleep(3 * LIMITS.head_timeout_s)
        for client in (fresh, used, empty):
            await client.send(GET)
            assert (await client.answer())[0] == 200


async def test_an_idle_connection_ends_in_its_time() -> None:
    """Without a word."""
    async with serve(echo, keep_alive_s=0.3) as server:
        client = await server.connect(GET)
        assert (await client.answer())[0] == 200
        assert await client.has_ended()


# -- size ------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "sent",
    [
        b"GET /" + b"x" * 400_000,
        b"GET /x HTTP/1.1\r\nx: " + b"y" * 400_000,
        b"GET /x HTTP/1.1\r\n" + b"y" * 400_000,
        b"GET /x HTTP/1.1\r\nx: " + b"y" * 66_000 + b"\r\n\r\n",
        b"GET /x HTTP/1.1\r\n" + b"x: y\r\n" * 129 + b"\r\n",
        CHUNKED + b"0\r\n" + b"x: y\r\n" * 129 + b"\r\n",
    ],
    ids=["endless line", "endless value", "endless name", "65 kB", "fields", "trailers"],
)
async def test_a_head_over_its_bounds_is_answered_with_431(sent: bytes) -> None:
    """Whether it comes to an end or not."""
    async with serve(echo) as server:
        client = await server.connect(sent)
        answer = await client.answer()
        assert (answer[0], code_of(answer)) == (431, "head-too-large")
        assert server.refused == {"head-too-large": 1}
        assert await client.has_ended()
        assert server.watch.held_bytes == 0


async def test_a_head_below_its_bounds_is_taken_in_any_pieces() -> None:
    """60 kB of it, in one piece, and byte by byte where it is short."""
    async with serve(echo) as server:
        long = b"GET /x HTTP/1.1\r\nx: " + b"y" * 60_000 + b"\r\n\r\n"
        client = await server.connect(long)
        assert (await client.answer())[0] == 200
        for at in range(len(GET)):
            await client.send(GET[at : at + 1])
        assert (await client.answer())[0] == 200
        assert server.watch.held_bytes == 0


@pytest.mark.parametrize(
    "framing",
    [b"5;" + b"x" * 200_000, b"1\r\nx\r\n" * 30_000, b"5\r\nhello\r\n0\r\nx: " + b"y" * 200_000],
    ids=["extension", "tiny chunks", "trailer"],
)
async def test_what_frames_a_body_is_bounded(framing: bytes) -> None:
    """Endless extensions of a chunk, chunks of a byte, an endless trailer."""
    async with serve(echo, head_timeout_s=20, body_timeout_s=20) as server:
        client = await server.connect(CHUNKED)
        for start in range(0, len(framing), 10_000):
            await client.send(framing[start : start + 10_000])
            await asyncio.sleep(0)
        assert (await client.answer())[0] == 400
        assert await client.has_ended()


async def test_trailers_are_no_headers() -> None:
    """What stands behind a body must not pass for what stood in the head."""
    seen: list[Any] = []

    async def app(scope: Any, receive: Any, send: Any) -> None:
        await echo(scope, receive, send)
        seen.extend(scope["headers"])

    async with serve(app) as server:
        client = await server.connect(CHUNKED + b"1\r\nx\r\n0\r\nauthorization: me\r\n\r\n")
        assert await client.answer() == (200, b"POST /x 1")
        assert b"authorization" not in dict(seen)


async def test_a_body_that_nobody_reads_is_bounded() -> None:
    """Behind an answer that came before its end, as much is read as a body may have."""

    async def refuse(_scope: Any, _receive: Any, send: Any) -> None:
        await reply(send, 404, b"no")

    async with serve(refuse) as server:
        small = await server.connect(with_body(300_000) + b"x" * 300_000 + GET)
        assert [(await small.answer())[0] for _ in range(2)] == [404, 404]
        # The end of one body and the beginning of the next in one read.
        both = await server.connect(with_body(200_000) + b"x" * 100_000)
        assert await both.answer() == (404, b"no")
        await both.send(b"x" * 100_000 + CHUNKED + b"186a0\r\n" + b"x" * 50_000)
        assert await both.answer() == (404, b"no")
        stalled = await server.connect(with_body(300_000) + b"x")
        assert await stalled.answer() == (404, b"no")
        assert await stalled.has_ended()
        endless = await server.connect(with_body(10**9))
        assert (await endless.answer())[0] == 404
        await endless.send(b"x" * 2 * LIMITS.max_body_bytes)
        assert await endless.has_ended()


# -- all together ----------------------------------------------------------------------------------


async def test_bodies_are_bounded_together() -> None:
    """By what they hold, and from the head where it tells; small ones and health go on."""
    async with serve(echo, body_timeout_s=20) as server:
        holding = [await server.connect(with_body(400_000) + b"x" * 390_000) for _ in range(2)]
        await until(lambda: server.watch.held_bytes == 2 * 390_000)
        told = await server.connect(with_body(300_000))
        assert code_of(await told.answer()) == "bodies-full"
        # What it sends nevertheless is no request, whatever it looks like.
        await told.send(GET)
        assert await told.has_ended()
        untold = await server.connect(CHUNKED + b"493e0\r\n" + b"x" * 299_000)
        assert code_of(await untold.answer()) == "bodies-full"
        assert server.refused == {"bodies-full": 2}
        small = await server.connect(with_body(3) + b"a")
        await small.send(b"bc")
        assert await small.answer() == (200, b"POST /x 3")
        for client in holding:
            await client.send(b"x" * 10_000)
            assert (await client.answer())[0] == 200
        await until(lambda: server.watch.held_bytes == 0)


async def test_stalled_readers_are_ended() -> None:
    """Each in its time, sooner where all hold too much; a caller that reads gets all of it."""
    large = b"x" * 8_000_000

    async def app(_scope: Any, _receive: Any, send: Any) -> None:
        await reply(send, 200, large)

    async with serve(app, max_bodies_bytes=10_000_000) as server:
        for _ in range(5):
            await server.connect(GET, small_buffer=True)
        await until(lambda: len(server.watch.writing) == 5)
        reading = await server.connect(GET)
        assert await reading.answer() == (200, large)
        await until(lambda: server.watch.open == 1)
        assert not server.watch.writing


async def test_too_many_connections() -> None:
    """The one that is idle for longest gives way; where none is, 503, and health is answered."""
    gate = asyncio.Event()

    async def app(scope: Any, receive: Any, send: Any) -> None:
        if scope["path"] == "/wait":
            await gate.wait()
        await echo(scope, receive, send)

    async with serve(app, max_connections=3) as server:
        idle = [await server.connect(GET) for _ in range(3)]
        for client in idle:
            assert (await client.answer())[0] == 200
        busy = [await server.connect(GET.replace(b"/x", b"/wait")) for _ in range(3)]
        for client in idle:
            assert await client.has_ended()
        late = await server.connect(GET)
        answer = await late.answer()
        assert (answer[0], code_of(answer)) == (503, "connections-full")
        assert server.refused["connections-full"] == 1
        health = await server.connect(GET.replace(b"/x", b"/health"))
        assert await health.answer() == (200, b"GET /health 0")
        more = [await server.connect(GET[:9]) for _ in range(40)]
        await until(lambda: server.watch.open <= 3 + 16)

        gate.set()
        for client in busy:
            assert (await client.answer())[0] == 200
        for client in more:
            client.leave()
        await until(lambda: server.watch.open == 3)
        again = await server.connect(GET)
        assert (await again.answer())[0] == 200


# -- what else a caller may do ---------------------------------------------------------------------


async def test_callers_who_hang_up(caplog: pytest.LogCaptureFixture) -> None:
    """In a head, in a body, before or in the midst of the answer: nothing is logged or kept."""
    async with serve(echo) as server:
        watch = server.watch
        for sent, watched in (
            (b"GET /x", watch.heads),
            (with_body(300_000) + b"x" * 100_000, watch.bodies),
            (CHUNKED + b"5\r\na", watch.bodies),
            (GET, watch.idle),
        ):
            client = await server.connect(sent)
            await until(lambda watched=watched: bool(watched))  # type: ignore[misc]
            client.leave()
            await until(lambda: not watch.open)
        assert server.watch.held_bytes == 0
    assert not [record for record in caplog.records if record.levelname in {"WARNING", "ERROR"}]


async def test_pipelined_requests_are_answered_in_order() -> None:
    """Also before one that is malformed, which ends the connection."""
    async with serve(echo) as server:
        client = await server.connect(GET + with_body(2) + b"ab" + GET.replace(b"x", b"y"))
        bodies = [(await client.answer())[1] for _ in range(3)]
        assert bodies == [b"GET /x 0", b"POST /x 2", b"GET /y 0"]
        await client.send(GET * 3 + b"nonsense\r\n\r\n")
        assert [(await client.answer())[0] for _ in range(4)] == [200, 200, 200, 0]
        many = await server.connect(GET * 5_000)
        assert [(await many.answer())[0] for _ in range(10)] == [200] * 10


async def test_an_upgrade_is_not_taken_and_its_body_is_read() -> None:
    """As Java's client asks for HTTP/2 with its first request, whatever it brings."""
    asks = (b"connection: Upgrade, HTTP2-Settings", b"upgrade: h2c", b"http2-settings: AAE")
    async with serve(echo) as server:
        client = await server.connect(with_body(5, *asks) + b"hello" + GET)
        assert await client.answer() == (200, b"POST /x 5")
        assert await client.answer() == (200, b"GET /x 0")
        await client.send(with_body(5, *asks))
        await client.send(b"again")
        assert await client.answer() == (200, b"POST /x 5")
        tunnel = await server.connect(b"CONNECT a:1 HTTP/1.1\r\nhost: a:1\r\n\r\n")
        assert (await tunnel.answer())[0] == 400


async def test_a_body_is_asked_for_where_the_caller_waits_for_that() -> None:
    """And not where it would be refused."""
    expects = b"expect: 100-continue"
    async with serve(echo, body_timeout_s=20) as server:
        client = await server.connect(with_body(3, expects))
        assert (await client.head()).startswith(b"HTTP/1.1 100 ")
        await client.send(b"abc")
        assert await client.answer() == (200, b"POST /x 3")
        for _ in range(2):
            await server.connect(with_body(400_000) + b"x" * 390_000)
        await until(lambda: server.watch.held_bytes > 700_000)
        refused = await server.connect(with_body(300_000, expects))
        assert (await refused.answer())[0] == 503
