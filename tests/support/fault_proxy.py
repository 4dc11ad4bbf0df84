"""An HTTP proxy before an MLflow server that breaks things on demand, and counts what it broke."""

import contextlib
import http.client
import os
import socket
import threading
from collections.abc import Iterator
from enum import StrEnum
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Self
from urllib.parse import urlsplit

from tools.mlflow_server import free_port

DRIP_PAUSE_S = 1.0
PADDING_BYTES = 900_000
"""A download may have so many bytes too many once, but not with each of several files."""
_UPSTREAM_TIMEOUT_S = 60.0
_ARTIFACT = "/mlflow-artifacts/artifacts/"
_LOGGED_MODELS = "/mlflow/logged-models"
_PAGE = b"<html><body>Please log in</body></html>"
_IS_PAGE = {"content-type": "text/html"}
_HOP_BY_HOP = frozenset({"connection", "content-length", "host", "keep-alive", "transfer-encoding"})


class Fault(StrEnum):
    """What can be wrong: of every answer, or, where the name says so, of files alone."""

    REFUSED = "refused"
    SILENT = "silent"
    DRIPPING = "dripping"
    ANSWERS_400 = "400"
    ANSWERS_401 = "401"
    ANSWERS_404_PAGE = "404 page"
    ANSWERS_429 = "429"
    ANSWERS_500 = "500"
    ANSWERS_HTML = "html"
    BEFORE_MLFLOW_3 = "before mlflow 3"
    """A version of the registry that knows nothing of logged models."""
    ENDLESS = "endless"
    ENDLESS_LINE = "endless line"
    FILES_DOWN = "files down"
    FILES_CUT = "files cut"
    FILES_CUT_WITHOUT_LENGTH = "files cut without length"
    FILES_GARBAGE = "files garbage"
    FILES_HTML = "files html"
    FILES_ENDLESS = "files endless"
    FILES_PADDED = "files padded"
    FILES_SILENT = "files silent"


_BROKEN = b'{"error_code": "INTERNAL_ERROR", "message": "The database is locked."}'
_BAD = b'{"error_code": "INVALID_PARAMETER_VALUE", "message": "Not today."}'
_SAID_INSTEAD: dict[Fault, tuple[int, bytes, dict[str, str]]] = {
    Fault.ANSWERS_400: (400, _BAD, {}),
    Fault.ANSWERS_401: (401, _PAGE, _IS_PAGE),
    Fault.ANSWERS_404_PAGE: (404, _PAGE, _IS_PAGE),
    Fault.BEFORE_MLFLOW_3: (404, _PAGE, _IS_PAGE),
    Fault.ANSWERS_429: (429, b"slow down", {"retry-after": "3600"}),
    Fault.ANSWERS_500: (500, _BROKEN, {}),
    Fault.ANSWERS_HTML: (200, _PAGE, _IS_PAGE),
    Fault.FILES_DOWN: (500, _BROKEN, {}),
    Fault.FILES_HTML: (200, _PAGE, _IS_PAGE),
}


class FaultProxy:
    """Relays to `target`, except while it is `failing`.

    `met` counts the requests that met a fault since the last one began (none while it refuses).
    """

    def __init__(self, target: str) -> None:
        parts = urlsplit(target)
        assert parts.hostname is not None
        self._target = (parts.hostname, parts.port)
        self._port = free_port()
        self._server: ThreadingHTTPServer | None = None
        self._connections: set[socket.socket] = set()
        self._lock = threading.Lock()
        self._healed = threading.Event()
        self._fault: Fault | None = None
        self.met = 0

    @property
    def uri(self) -> str:
        """Where it listens."""
        return f"http://127.0.0.1:{self._port}"

    @contextlib.contextmanager
    def failing(self, fault: Fault) -> Iterator[None]:
        """Have this fault meanwhile, also on connections that stand."""
        self.met = 0
        self._healed = threading.Event()
        self._fault = fault
        if fault is Fault.REFUSED:
            self._down()
        try:
            yield
        finally:
            self.heal()

    def heal(self) -> None:
        """End the fault, if there still is one."""
        self._fault = None
        self._healed.set()
        if self._server is None:
            self._up()

    def __enter__(self) -> Self:
        self._up()
        return self

    def __exit__(self, *_: object) -> None:
        self._healed.set()
        self._down()

    # -- life ------------------------------------------------------------------------------------

    def _up(self) -> None:
        proxy = self

        class Handler(_Handler):
            def handle(self) -> None:
                """Answer one request after another, as long as the connection may stand."""
                with proxy._lock:
                    proxy._connections.add(self.connection)
                try:
                    with contextlib.suppress(OSError):
                        super().handle()
                finally:
                    with proxy._lock:
                        proxy._connections.discard(self.connection)

            def answer(self) -> None:
                """Relay, or fail as it is told to."""
                proxy._answer(self)

        self._server = ThreadingHTTPServer(("127.0.0.1", self._port), Handler)
        self._server.daemon_threads = True
        threading.Thread(target=self._server.serve_forever, args=(0.01,), daemon=True).start()

    def _down(self) -> None:
        if self._server is not None:
            self._server.shutdown()
            self._server.server_close()
            self._server = None
        with self._lock:
            for connection in self._connections:
                with contextlib.suppress(OSError):
                    connection.shutdown(socket.SHUT_RDWR)

    # -- answers ---------------------------------------------------------------------------------

    def _answer(self, request: "_Handler") -> None:
        fault, healed = self._fault, self._healed
        body = request.rfile.read(int(request.headers.get("content-length") or 0))
        of_files = fault is not None and fault.name.startswith("FILES_")
        is_file = request.command == "GET" and _ARTIFACT in request.path
        is_known = fault is Fault.BEFORE_MLFLOW_3 and _LOGGED_MODELS not in request.path
        if fault is None or is_known or (of_files and not is_file):
            request.reply(*self._relayed(request, body))
            return
        with self._lock:
            self.met += 1
        if fault in {Fault.REFUSED, Fault.SILENT, Fault.FILES_SILENT}:
            healed.wait()
            request.close_connection = True
        elif fault is Fault.DRIPPING:
            self._drip(request, body, healed)
        elif fault in {Fault.ENDLESS, Fault.ENDLESS_LINE, Fault.FILES_ENDLESS}:
            _go_on(request, healed, chunked=fault is Fault.ENDLESS_LINE)
        elif fault in _SAID_INSTEAD:
            request.reply(*_SAID_INSTEAD[fault])
        else:
            self._spoil(request, fault, *self._relayed(request, body))

    def _spoil(
        self,
        request: "_Handler",
        fault: Fault,
        status: int,
        content: bytes,
        headers: dict[str, str],
    ) -> None:
        """Answer with half a file, with as many bytes of nothing, or with many more."""
        if fault is Fault.FILES_PADDED:
            request.reply(status, content + bytes(PADDING_BYTES), headers)
            return
        if fault is Fault.FILES_GARBAGE:
            request.reply(status, os.urandom(len(content)), headers)
            return
        told = len(content) if fault is Fault.FILES_CUT else None
        request.reply(status, content[: len(content) // 2], headers, told)
        request.close_connection = True

    def _relayed(self, request: "_Handler", body: bytes) -> tuple[int, bytes, dict[str, str]]:
        upstream = http.client.HTTPConnection(*self._target, timeout=_UPSTREAM_TIMEOUT_S)
        with contextlib.closing(upstream):
            upstream.request(request.command, request.path, body, _end_to_end(request.headers))
            answer = upstream.getresponse()
            return answer.status, answer.read(), _end_to_end(answer.headers)

    def _drip(self, request: "_Handler", body: bytes, healed: threading.Event) -> None:
        """Say what there is to say, one byte each second."""
        request.close_connection = True
        status, content, _ = self._relayed(request, body)
        head = f"HTTP/1.1 {status} OK\r\ncontent-length: {len(content)}\r\n\r\n"
        for byte in head.encode() + content:
            request.wfile.write(bytes([byte]))
            if healed.wait(DRIP_PAUSE_S):
                return


class _Handler(BaseHTTPRequestHandler):
    """Takes any method, and keeps connections."""

    protocol_version = "HTTP/1.1"

    def answer(self) -> None:
        """Answer one request."""
        raise NotImplementedError

    def __getattr__(self, name: str) -> Any:
        """Give what the base looks for: a `do_GET`, and the like for every method."""
        if name.startswith("do_"):
            return self.answer
        raise AttributeError(name)

    def reply(
        self,
        status: int,
        content: bytes,
        headers: dict[str, str] | None = None,
        length: int | None = -1,
    ) -> None:
        """Send an answer; `length` is what it says of its length, -1 for the truth, None for no."""
        self.send_response_only(status)
        for name, value in (headers or {}).items():
            self.send_header(name, value)
        if length is None:
            self.send_header("connection", "close")
        else:
            self.send_header("content-length", str(len(content) if length < 0 else length))
        self.end_headers()
        self.wfile.write(content)

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - the base's name
        """Stay quiet."""


def _end_to_end(headers: Any) -> dict[str, str]:
    return {name: value for name, value in headers.items() if name.lower() not in _HOP_BY_HOP}


def _go_on(request: "_Handler", healed: threading.Event, *, chunked: bool) -> None:
    """Answer without an end, as fast as it is read; chunked, by the size of the first chunk."""
    request.close_connection = True
    request.send_response_only(200)
    request.send_header("content-type", "application/json")
    request.send_header(*(("transfer-encoding", "chunked") if chunked else ("connection", "close")))
    request.end_headers()
    while not healed.is_set():
        request.wfile.write(b"0" * 1_000_000)
