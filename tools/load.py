"""Clients that hammer a service while a test does something to it, and what they saw."""

import asyncio
import itertools
import json
import ssl
import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Self
from urllib.parse import urlsplit

STOP_TIMEOUT_S = 60.0
ANSWER_TIMEOUT_S = 60.0
STEADY_S = 0.004
"""The pause of tests that ask whether answers go on, not how many: others need CPU, too."""


@dataclass
class Seen:
    """One answer, or why there was none: status 0 with the error's text."""

    status: int
    version: str
    sent: float
    got: float | None
    error: str = ""
    fresh: bool = False
    """Whether its connection was made for it, and had carried no other."""


@dataclass
class Hammer:
    """`clients` clients, each sending one request after another on a connection of its own.

    Each request asks the tiny model for one row with a number that no other request has.
    Use as a context manager; `seen` has a list for each client, in its own order.
    """

    url: str
    clients: int
    instance: Callable[[float], dict[str, Any]] = field(default=lambda number: {"a": number})
    output: str = "y"
    path: str = "/predict"
    pause_s: float = 0.0
    """Seconds between two requests of a client."""
    trusted: ssl.SSLContext | None = None
    """By which authority it is called by https; None for http."""

    def __post_init__(self) -> None:
        self.seen: list[list[Seen]] = [[] for _ in range(self.clients)]
        self._numbers = itertools.count(1)
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=lambda: asyncio.run(self._run()), daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stopping.set()
        self._thread.join(STOP_TIMEOUT_S)
        assert not self._thread.is_alive(), "the clients did not stop"

    @property
    def all(self) -> list[Seen]:
        """Every answer of every client."""
        return [seen for client in self.seen for seen in client]

    @property
    def failed(self) -> list[Seen]:
        """What was not answered with 200."""
        return [seen for seen in self.all if seen.status != 200]

    @property
    def broken(self) -> list[Seen]:
        """What got no answer although its connection was not refused."""
        return [s for s in self.failed if not s.status and "ConnectionRefused" not in s.error]

    @property
    def failed_since_served(self) -> list[Seen]:
        """What was not answered with 200, each client's first such answer once seen."""
        served = [itertools.dropwhile(lambda s: s.status != 200, seen) for seen in self.seen]
        return [seen for client in served for seen in client if seen.status != 200]

    def mixed(self, factors: dict[str, float]) -> list[Seen]:
        """Return the answers whose number is not that of the version they name."""
        return [
            seen
            for seen in self.all
            if seen.status == 200 and seen.got != seen.sent * factors[seen.version]
        ]

    def changes(self) -> list[list[str]]:
        """Return, for each client, the versions it saw, each run of equal ones once."""
        return [
            [version for version, _ in itertools.groupby(s.version for s in seen if s.version)]
            for seen in self.seen
        ]

    async def _run(self) -> None:
        async with asyncio.TaskGroup() as clients:
            for seen in self.seen:
                clients.create_task(self._send_until_stopped(seen))

    async def _send_until_stopped(self, seen: list[Seen]) -> None:
        connection: _Connection | None = None
        while not self._stopping.is_set():
            number = float(next(self._numbers))
            fresh = connection is None or not connection.is_open
            body = json.dumps({"instances": [self.instance(number)]}).encode()
            try:
                async with asyncio.timeout(ANSWER_TIMEOUT_S):
                    if connection is None or not connection.is_open:
                        if connection is not None:
                            connection.close()
                        connection = await _connect(self.url, self.trusted)
                    status, named, answer = await connection.post(self.path, body)
            except (OSError, EOFError, TimeoutError) as error:
                why = f"{type(error).__name__}: {error}"
                seen.append(Seen(0, "", number, None, why, fresh))
                if connection is not None:
                    connection.close()
                connection = None
                # Not to spin on a port that refuses.
                await asyncio.sleep(0.01)
                continue
            if status != 200:
                seen.append(Seen(status, "", number, None, answer.decode()))
                continue
            told = json.loads(answer)
            got = told["predictions"][0][self.output]
            # Not every protocol has a place for it in the body.
            seen.append(Seen(200, told.get("model_version", named), number, got))
            if self.pause_s:
                await asyncio.sleep(self.pause_s)
        if connection is not None:
            connection.close()


class _Connection:
    """A keep-alive HTTP/1.1 connection: a client that costs little, so that the load is a load."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader = reader
        self._writer = writer
        self.is_open = True

    async def post(self, path: str, body: bytes) -> tuple[int, str, bytes]:
        """Send a JSON body; return status, version by the header, and body of the answer."""
        head = f"POST {path} HTTP/1.1\r\nhost: test\r\ncontent-type: application/json\r\n"
        self._writer.write(f"{head}content-length: {len(body)}\r\n\r\n".encode() + body)
        first, *lines = (await self._reader.readuntil(b"\r\n\r\n")).decode().split("\r\n")
        headers = dict(line.lower().split(": ", 1) for line in lines if line)
        content = await self._reader.readexactly(int(headers["content-length"]))
        self.is_open = headers.get("connection") != "close"
        return int(first.split(" ")[1]), headers.get("x-model-version", ""), content

    def close(self) -> None:
        """Hang up."""
        self._writer.close()


async def _connect(url: str, trusted: ssl.SSLContext | None) -> _Connection:
    parts = urlsplit(url)
    return _Connection(*await asyncio.open_connection(parts.hostname, parts.port, ssl=trusted))
