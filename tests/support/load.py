"""Clients that hammer a service while a test does something to it, and what they saw."""

import asyncio
import itertools
import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Self

import httpx

STOP_TIMEOUT_S = 60.0


@dataclass
class Seen:
    """One answer, or why there was none: status 0 with the error's text."""

    status: int
    version: str
    sent: float
    got: float | None
    error: str = ""


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
        async with httpx.AsyncClient(base_url=self.url, timeout=60, trust_env=False) as client:
            while not self._stopping.is_set():
                number = float(next(self._numbers))
                seen.append(await self._send(client, number))

    async def _send(self, client: httpx.AsyncClient, number: float) -> Seen:
        body = {"instances": [self.instance(number)]}
        try:
            answer = await client.post("/predict", json=body)
        except httpx.HTTPError as error:
            # Not to spin on a port that refuses.
            await asyncio.sleep(0.01)
            return Seen(0, "", number, None, f"{type(error).__name__}: {error}")
        if answer.status_code != 200:
            return Seen(answer.status_code, "", number, None, answer.text)
        told = answer.json()
        assert told["model_version"] == answer.headers["x-model-version"]
        return Seen(200, told["model_version"], number, told["predictions"][0][self.output])
