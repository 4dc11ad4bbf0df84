"""What a line of the access log costs a request: `bench.access`.

A direct answer is made and noted with nothing behind it, so that the difference is the line's own
cost: what the event loop does for it, and what the thread that writes it takes of the GIL.
"""

import asyncio
import os
import statistics
import threading
import time
from typing import Any

from service.handlers.access import AccessLogged
from service.telemetry.access_log import AccessLog
from service.telemetry.line_writer import LineWriter

_REQUESTS = 50_000
_ROUNDS = 9
_HEADERS = (
    (b"content-type", b"application/json"),
    (b"x-model-name", b"archive-forecast-rf"),
    (b"x-model-version", b"12"),
)
_NAMED = (b"x-request-id", b"5d4c1a52-8c11-4c2e-9a4e-000000000001")
_BODY = b"x" * 120


async def main() -> None:
    """Print the microseconds of a request with and without, and their difference."""
    reader, descriptor = os.pipe()
    drain = threading.Thread(target=_drain, args=(reader,), daemon=True)
    drain.start()
    writer = LineWriter(descriptor, lambda count: b"%d lost\n" % count)
    logged = AccessLogged(_answer, AccessLog(writer), lambda _: "/predict")
    without, with_it = [], []
    for _ in range(_ROUNDS):
        without.append(await _us(_answer))
        with_it.append(await _us(logged))
        await asyncio.to_thread(writer.flush, 5.0)
    costs = sorted(b - a for a, b in zip(without, with_it, strict=True))
    print(f"a request without: {statistics.median(without):.2f} microseconds of CPU")
    print(f"a request with it: {statistics.median(with_it):.2f} microseconds of CPU")
    print(f"a line: {statistics.median(costs):.2f} ({costs[0]:.2f} to {costs[-1]:.2f})")


class _Connection:
    """Takes whole answers, as the service's own protocol does."""

    def take_body(self) -> bytes:
        """Return nothing."""
        return b""

    def try_answer(self, *_: object) -> bool:
        """Take it."""
        return True

    async def send(self, message: Any) -> None:
        """Take no messages."""
        raise AssertionError(message)


_send = _Connection().send


async def _answer(_scope: Any, _receive: Any, send: Any) -> None:
    assert send.__self__.try_answer(200, _HEADERS, _NAMED, _BODY)  # noqa: S101 - it is measured


async def _receive() -> Any:
    return None


async def _us(app: Any) -> float:
    """Return the CPU time of all threads for one request."""
    scope = {"type": "http", "method": "POST", "path": "/predict", "headers": [], "state": {}}
    began_s = time.process_time()
    for number in range(_REQUESTS):
        await app(scope, _receive, _send)
        if number % 1_000 == 0:
            # As a loop does between two reads; the writing thread gets its turn.
            await asyncio.sleep(0)
    return (time.process_time() - began_s) / _REQUESTS * 1e6


def _drain(reader: int) -> None:
    while os.read(reader, 1_048_576):
        pass


if __name__ == "__main__":
    asyncio.run(main())
