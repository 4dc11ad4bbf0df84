"""An HTTP server that answers as a test says, for what a real one can't be brought to say."""

import contextlib
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any


class Answer:
    """What to say to every request, and which requests came."""

    def __init__(
        self, status: int = 200, body: bytes = b"{}", kind: str = "application/json"
    ) -> None:
        self.status = status
        self.body = body
        self.kind = kind
        self.headers: dict[str, str] = {}
        self.silent = threading.Event()
        """Set to say nothing at all, until the server ends."""
        self.seen: list[str] = []
        self.heard: list[dict[str, str]] = []
        """The headers of each request, with names in lower case."""
        self.choose: Callable[[str], tuple[int, bytes] | None] = lambda _: None
        """May give another status and body for a path."""


@contextlib.contextmanager
def serving(answer: Answer) -> Iterator[str]:
    """Serve the answer on a free loopback port; give the server's URL."""
    ended = threading.Event()

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            """Answer any GET."""
            answer.seen.append(self.path)
            answer.heard.append({name.lower(): value for name, value in self.headers.items()})
            if answer.silent.is_set():
                ended.wait()
                return
            status, body = answer.choose(self.path) or (answer.status, answer.body)
            with contextlib.suppress(OSError):
                self.send_response(status)
                self.send_header("Content-Type", answer.kind)
                self.send_header("Content-Length", str(len(body)))
                for name, value in answer.headers.items():
                    self.send_header(name, value)
                self.end_headers()
                self.wfile.write(body)

        def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - the base's name
            """Stay quiet."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever, args=(0.01,))
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_address[1]}"
    finally:
        ended.set()
        server.shutdown()
        server.server_close()
        thread.join()
