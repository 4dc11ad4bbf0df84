"""A TCP relay before an HTTP server: it counts requests, and can be away for a while."""

import contextlib
import select
import socket
import threading
from collections import deque
from collections.abc import Callable, Iterator
from types import TracebackType
from typing import Self
from urllib.parse import urlsplit

from tools.mlflow_server import free_port

_METHODS = (b"GET ", b"POST ", b"PATCH ", b"PUT ", b"DELETE ", b"HEAD ")
_CHUNK_BYTES = 65_536
_TICK_S = 0.05


class CountingProxy:
    """Relays to `target` while it is up; `requests` counts what went through."""

    def __init__(self, target: str) -> None:
        parts = urlsplit(target)
        assert parts.hostname is not None
        assert parts.port is not None
        self._target = (parts.hostname, parts.port)
        self._ending = threading.Event()
        self._threads: list[threading.Thread] = []
        self.port = free_port()
        self.requests = 0
        self._heads: deque[bytes] = deque(maxlen=1000)

    @property
    def uri(self) -> str:
        """Where it listens while it is up."""
        return f"http://127.0.0.1:{self.port}"

    def saw(self, text: bytes) -> bool:
        """Return whether a request had this among its first bytes lately, in any case."""
        return any(text.lower() in head.lower() for head in list(self._heads))

    def count(self, text: bytes) -> int:
        """Return how many of the last thousand requests had this among their first bytes."""
        return sum(text in head for head in list(self._heads))

    def up(self) -> None:
        """Begin to relay."""
        self._ending = threading.Event()
        listener = socket.create_server(("127.0.0.1", self.port))
        self._start(self._accept, listener, self._ending)

    def down(self) -> None:
        """Refuse connections, and break those that stand."""
        self._ending.set()
        for thread in self._threads:
            thread.join()
        self._threads.clear()

    @contextlib.contextmanager
    def away(self) -> Iterator[None]:
        """Be down meanwhile."""
        self.down()
        try:
            yield
        finally:
            self.up()

    def __enter__(self) -> Self:
        self.up()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        at: TracebackType | None,
    ) -> None:
        self.down()

    def _start(self, run: Callable[..., None], *args: object) -> None:
        thread = threading.Thread(target=run, args=args, daemon=True)
        self._threads.append(thread)
        thread.start()

    def _accept(self, listener: socket.socket, ending: threading.Event) -> None:
        with listener:
            while not ending.is_set():
                if select.select([listener], [], [], _TICK_S)[0]:
                    self._start(self._relay, listener.accept()[0], ending)

    def _relay(self, caller: socket.socket, ending: threading.Event) -> None:
        with caller, contextlib.suppress(OSError), socket.create_connection(self._target) as server:
            other = {caller: server, server: caller}
            while not ending.is_set():
                for end in select.select(list(other), [], [], _TICK_S)[0]:
                    data = end.recv(_CHUNK_BYTES)
                    if not data:
                        return
                    if end is caller and data.startswith(_METHODS):
                        self.requests += 1
                        self._heads.append(data)
                    other[end].sendall(data)
