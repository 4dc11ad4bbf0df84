"""A service that is overloaded: where it is, and what is seen of it meanwhile."""

import contextlib
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from urllib.parse import urlsplit

import grpc
import httpx
import msgspec

from tools.overload.cases import Case
from tools.overload.grpc_calls import METHOD, OPTIONS
from tools.processes import ProcessTree

_LOOK_EVERY_S = 0.1
_LOOK_LIMIT_S = 1.0
_USUAL_PROBES = 5
_LONE_LIMIT_S = 60.0


class Server(msgspec.Struct, frozen=True):
    """A service that runs: where it is, its processes, and its log."""

    url: str
    tree: ProcessTree
    log: Path
    grpc_port: int = 0

    def address_of(self, case: Case) -> tuple[str, int]:
        """Return the host and the port that a case's requests go to."""
        parts = urlsplit(self.url)
        port = self.grpc_port if case.protocol.is_grpc else parts.port or 80
        return str(parts.hostname), port

    def workers_lost(self) -> int:
        """Return how many workers it has lost so far."""
        return self.log.read_text("utf-8", "replace").count('"worker lost"')

    def took_s(self, case: Case, model: str, rows: int) -> float:
        """Return what a lone request takes, the median of some."""
        body, took = case.body(model, rows), []
        with self._asking(case, model) as ask:
            for _ in range(_USUAL_PROBES):
                began_s = time.monotonic()
                ask(body)
                took.append(time.monotonic() - began_s)
        return sorted(took)[len(took) // 2]

    @contextlib.contextmanager
    def _asking(self, case: Case, model: str) -> Iterator[Callable[[bytes], object]]:
        """Give what sends a request and waits for its answer; it raises where that is an error."""
        if case.protocol.is_grpc:
            host, port = self.address_of(case)
            with grpc.insecure_channel(f"{host}:{port}", OPTIONS) as channel:
                infer = channel.unary_unary(METHOD)
                yield lambda body: infer(body, timeout=_LONE_LIMIT_S)
            return
        headers = {"content-type": case.protocol.content_type}
        path = case.protocol.path.format(model)
        with httpx.Client(
            base_url=self.url, timeout=_LONE_LIMIT_S, trust_env=False, headers=headers
        ) as client:
            yield lambda body: client.post(path, content=body).raise_for_status()

    @contextlib.contextmanager
    def watched(self) -> Iterator[list[bool]]:
        """Look at `/health` meanwhile, and note whether it was green."""
        looks: list[bool] = []
        done = threading.Event()

        def look() -> None:
            with httpx.Client(base_url=self.url, timeout=_LOOK_LIMIT_S, trust_env=False) as client:
                while not done.wait(_LOOK_EVERY_S):
                    try:
                        looks.append(client.get("/health").status_code == httpx.codes.OK)
                    except httpx.TransportError:
                        looks.append(False)

        watcher = threading.Thread(target=look)
        watcher.start()
        try:
            yield looks
        finally:
            done.set()
            watcher.join()
