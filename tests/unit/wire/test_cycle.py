"""A whole answer is written as two messages of ASGI's would be."""

import asyncio
import logging
from typing import Any, cast

import pytest
from uvicorn.protocols.http.flow_control import FlowControl

from service.wire.cycle import Cycle
from service.wire.write_coalescing import CoalescingTransport

DEFAULT = [(b"date", b"Mon, 30 Nov 2026 12:00:00 GMT")]
HEADERS = ((b"content-type", b"application/json"), (b"x-model-version", b"7"))
NAMED = (b"x-request-id", b"a.b-c")


class Connection:
    """A transport that keeps what is written, and counts answers that ended."""

    def __init__(self) -> None:
        self.written = b""
        self.writes = self.answers = 0
        self.is_closed = False

    def write(self, data: bytes) -> None:
        """Keep it."""
        self.written += data
        self.writes += 1

    def writelines(self, parts: Any) -> None:
        """Keep them."""
        self.write(b"".join(parts))

    def close(self) -> None:
        """Know that it is to end."""
        self.is_closed = True

    def is_closing(self) -> bool:
        """Tell whether it is to end."""
        return self.is_closed

    def pause_reading(self) -> None:
        """Read as ever."""

    def resume_reading(self) -> None:
        """Read as ever."""

    def answered(self) -> None:
        """Count an answer."""
        self.answers += 1


def cycle_on(connection: Connection, *, keep_alive: bool = True, access_log: bool = False) -> Cycle:
    """Return a request that has come whole, on a transport as the protocol makes it."""
    transport = CoalescingTransport(cast("Any", connection), asyncio.get_running_loop())
    log = logging.getLogger("nobody")
    cycle = Cycle(
        scope=cast("Any", {"type": "http", "method": "POST", "path": "/", "http_version": "1.1"}),
        transport=cast("Any", transport),
        flow=FlowControl(cast("Any", transport)),
        logger=log,
        access_logger=log,
        access_log=access_log,
        default_headers=DEFAULT,
        message_event=asyncio.Event(),
        expect_100_continue=False,
        keep_alive=keep_alive,
        on_response=connection.answered,
    )
    cycle.body, cycle.more_body = bytearray(b"asked"), False
    return cycle


async def send(cycle: Cycle, status: int, body: bytes) -> None:
    """Answer by messages."""
    length = (b"content-length", b"%d" % len(body))
    headers = [*HEADERS, length, NAMED]
    await cycle.send({"type": "http.response.start", "status": status, "headers": headers})
    await cycle.send({"type": "http.response.body", "body": body, "more_body": False})


@pytest.mark.parametrize("status", [200, 503])
@pytest.mark.parametrize("body", [b"", b"{}", b"x" * 100_000], ids=len)
async def test_the_same_bytes_are_written(status: int, body: bytes) -> None:
    """And the request is as far as it is after messages; written once, without waiting."""
    usual, whole = Connection(), Connection()
    first, second = cycle_on(usual), cycle_on(whole)
    await send(first, status, body)
    assert second.try_answer(status, HEADERS, NAMED, body)
    assert whole.writes == 1
    await asyncio.sleep(0)
    assert whole.written == usual.written
    assert whole.answers == usual.answers == 1
    for cycle in (first, second):
        assert cycle.response_started
        assert cycle.response_complete
        assert cycle.message_event.is_set()
        assert (await cycle.receive())["type"] == "http.disconnect"


async def test_it_follows_what_was_written_before() -> None:
    """The word that a caller may go on (100) is no part of the answer, and comes first."""
    connection = Connection()
    cycle = cycle_on(connection)
    cycle.transport.write(b"HTTP/1.1 100 Continue\r\n\r\n")
    assert cycle.try_answer(200, HEADERS, NAMED, b"{}")
    assert connection.written.startswith(b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\n")


@pytest.mark.parametrize("why", ["started", "gone", "slow reader", "last one", "uvicorn logs it"])
async def test_it_is_left_to_messages(why: str) -> None:
    """Nothing is written where an answer has begun, or more is to be done than to write it."""
    connection = Connection()
    cycle = cycle_on(connection, keep_alive=why != "last one", access_log=why == "uvicorn logs it")
    cycle.response_started = why == "started"
    cycle.disconnected = why == "gone"
    if why == "slow reader":
        cycle.flow.pause_writing()
    assert not cycle.try_answer(200, HEADERS, NAMED, b"{}")
    assert (connection.written, connection.answers, cycle.response_complete) == (b"", 0, False)


@pytest.mark.parametrize("header", [(b"x y", b"1"), (b"x", b"1\r\nset-cookie: a=b")])
async def test_what_is_no_header_is_not_written(header: tuple[bytes, bytes]) -> None:
    """As uvicorn has it: a name with a blank, a value that would begin another header."""
    connection = Connection()
    with pytest.raises(ValueError, match="no header"):
        cycle_on(connection).try_answer(200, (*HEADERS, header), NAMED, b"{}")
    assert connection.written == b""


async def test_a_body_is_taken_once() -> None:
    """Where all of it has come; it is then no longer kept."""
    cycle = cycle_on(Connection())
    cycle.more_body = True
    assert cycle.take_body() is None
    assert cycle.body == b"asked"
    cycle.more_body = False
    assert cycle.take_body() == b"asked"
    assert cycle.body == b""


async def test_a_caller_that_has_gone_has_no_body() -> None:
    """It is received, which tells that it has gone."""
    cycle = cycle_on(Connection())
    cycle.give_up()
    assert cycle.take_body() is None
    assert (await cycle.receive())["type"] == "http.disconnect"
