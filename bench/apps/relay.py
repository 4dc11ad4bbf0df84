"""The least of a server whose model has a process of its own: a bare callable that asks one.

Requests that wait together go to it in one message, and it computes for as long as a compiled
forest does.
"""

import asyncio
import socket
import time
from collections.abc import Awaitable, Callable
from multiprocessing import get_context
from typing import Any

from bench.apps import bare

_CALL_S = 40e-6
_ROW_S = 2e-6
_MESSAGE_BYTES = 65_536


def _work(asked: socket.socket) -> None:
    """Answer a message of n bytes, one for each request, by as many."""
    while message := asked.recv(_MESSAGE_BYTES):
        until = time.perf_counter() + _CALL_S + _ROW_S * len(message)
        while time.perf_counter() < until:
            pass
        asked.send(message)


class _Relay:
    """The requests that wait, and those that the process has."""

    def __init__(self) -> None:
        self._front, worker = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self._front.setblocking(False)  # noqa: FBT003 - its only way
        self._process = get_context("spawn").Process(target=_work, args=(worker,), daemon=True)
        self._process.start()
        worker.close()
        self._waiting: list[asyncio.Future[None]] = []
        self._asked: list[asyncio.Future[None]] = []
        self._loop = asyncio.get_running_loop()
        self._loop.add_reader(self._front, self._answered)

    async def ask(self) -> None:
        """Wait until the process has answered."""
        answer = self._loop.create_future()
        self._waiting.append(answer)
        if len(self._waiting) == 1 and not self._asked:
            self._loop.call_soon(self._send)
        await answer

    def _send(self) -> None:
        if self._waiting and not self._asked:
            self._asked, self._waiting = self._waiting, []
            self._front.send(bytes(len(self._asked)))

    def _answered(self) -> None:
        self._front.recv(_MESSAGE_BYTES)
        answered, self._asked = self._asked, []
        self._send()
        for answer in answered:
            if not answer.done():
                answer.set_result(None)

    def close(self) -> None:
        """End the process."""
        self._loop.remove_reader(self._front)
        self._front.close()
        self._process.join()


_relay: _Relay | None = None


async def app(
    scope: dict[str, Any],
    receive: Callable[[], Awaitable[dict[str, Any]]],
    send: Callable[[dict[str, Any]], Awaitable[None]],
) -> None:
    """Ask the process, then answer as the bare callable does."""
    global _relay  # noqa: PLW0603 - a callable has no other place
    if scope["type"] == "lifespan":
        _relay = _Relay()
        try:
            await bare.app(scope, receive, send)
        finally:
            _relay.close()
        return
    assert _relay  # noqa: S101 - a request comes after the start
    await _relay.ask()
    await bare.app(scope, receive, send)
