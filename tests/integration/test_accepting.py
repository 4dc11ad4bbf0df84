"""Connections that wait to be accepted, over real sockets."""

import asyncio
import contextlib
import socket

import pytest

from tests.support.wire_server import echo, serve, until

pytestmark = pytest.mark.loops("asyncio", "uvloop")

GET = b"GET /x HTTP/1.1\r\nhost: t\r\n\r\n"


def connect_together(port: int, count: int) -> list[socket.socket]:
    """Open connections while the event loop stands still: they wait to be accepted."""
    waiting = [socket.create_connection(("127.0.0.1", port)) for _ in range(count)]
    for raw in waiting:
        raw.setblocking(False)  # noqa: FBT003 - its only form
    return waiting


async def test_connections_that_wait_are_accepted_together() -> None:
    """Not one in each turn of the event loop, which takes long where much is asked."""
    async with serve(echo, max_connections=300) as server:
        waiting = connect_together(server.port, 200)
        turns = 0
        while server.watch.open < len(waiting):
            turns += 1
            await asyncio.sleep(0)
        assert turns < 50
        loop = asyncio.get_running_loop()
        for raw in waiting:
            await loop.sock_sendall(raw, GET)
        for raw in waiting:
            assert (await loop.sock_recv(raw, 1000)).startswith(b"HTTP/1.1 200")
            raw.close()
        await until(lambda: not server.watch.open)


# asyncio's own loop leaves open what it accepts in the turn in which a server closes, until it is
# collected as garbage (gh-109564 of CPython).
@pytest.mark.loops("uvloop")
@pytest.mark.parametrize("turns", range(4))
async def test_a_server_that_ends_while_connections_wait(turns: int) -> None:
    """Each of them ends with it, whether it was accepted or not."""
    async with serve(echo, max_connections=300) as server:
        waiting = connect_together(server.port, 200)
        for _ in range(turns):
            await asyncio.sleep(0)
    loop = asyncio.get_running_loop()
    async with asyncio.timeout(10):
        for raw in waiting:
            with contextlib.suppress(ConnectionError):
                assert await loop.sock_recv(raw, 1000) == b""
            raw.close()
    await until(lambda: not server.watch.open)
