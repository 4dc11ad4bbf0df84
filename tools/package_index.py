"""A package index on loopback, over a folder of wheels and source packages, which can fail.

Pages are in JSON and in HTML (PEP 691, 503), with upload times (PEP 700), which are the files'
own, and metadata beside each wheel (PEP 658). `tools/made_packages.py` makes what it offers.
"""

import base64
import contextlib
import enum
import hashlib
import html
import json
import threading
import zipfile
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import unquote

from packaging.utils import canonicalize_name

JSON = "application/vnd.pypi.simple.v1+json"
_HTML = "text/html; charset=utf-8"
_LOOK_S = 0.01
_LONGEST_S = 120.0
"""Silence and idle connections end after so long, whatever a test forgets."""


class Fault(enum.Enum):
    """How an index answers that does not answer well."""

    CLOSED = "closed"
    """It closes the connection without an answer."""
    SILENT = "silent"
    """It takes the request and says nothing."""
    HALF = "half"
    """It closes the connection in the middle of the body."""
    STALLED = "stalled"
    """It sends half of the body, and then nothing more."""
    CHANGED = "changed"
    """Its body has other bytes than it says."""
    MISSING = "missing"
    """404."""
    FAILING = "failing"
    """500."""


class PackageIndex:
    """What an index offers, how it fails, and what it was asked for; all may change meanwhile."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        """Its packages: `.whl` and `.tar.gz`, read anew for each answer."""
        self.on_pages: Fault | None = None
        """What goes wrong with pages and metadata: where a resolution looks. None for nothing."""
        self.on_files: Fault | None = None
        """What goes wrong with the packages themselves."""
        self.yanked: dict[str, str] = {}
        """Why files are yanked, by their names."""
        self.has_upload_times = True
        self.credentials: tuple[str, str] | None = None
        """The name and password that it wants, None where it wants none."""
        self.asked: list[str] = []
        """The paths of all requests that came, oldest first."""
        self._ended = threading.Event()
        self._server: _Server | None = None
        self._port = 0

    @property
    def url(self) -> str:
        """Where its pages are, without credentials."""
        return f"http://127.0.0.1:{self._port}/simple/"

    def url_as(self, user: str, password: str) -> str:
        """Return the same with credentials."""
        return f"http://{user}:{password}@127.0.0.1:{self._port}/simple/"

    def files_asked(self) -> list[str]:
        """Return the names of the files that were asked for, without pages and metadata."""
        names = [path.removeprefix("/files/") for path in self.asked if path.startswith("/files/")]
        return [name for name in names if not name.endswith(".metadata")]

    def up(self) -> None:
        """Listen: on the same port as before, if it did."""
        if self._server is None:
            self._ended.clear()
            self._server = _Server(self._port, self._answer)
            self._port = self._server.server_address[1]

    def down(self) -> None:
        """Refuse connections, and end those that there are, until it is `up` again."""
        self._ended.set()
        if self._server is not None:
            self._server.close()
            self._server = None

    # -- answers ---------------------------------------------------------------------------------

    def _answer(self, handler: BaseHTTPRequestHandler) -> None:
        path = unquote(handler.path.partition("?")[0])
        self.asked.append(path)
        if not self._may(handler.headers.get("Authorization")):
            handler.send_response(401)
            handler.send_header("WWW-Authenticate", 'Basic realm="packages"')
            handler.send_header("Content-Length", "0")
            handler.end_headers()
            return
        top, _, rest = path.strip("/").partition("/")
        if top == "simple":
            page = self._page(rest, in_json=JSON in handler.headers.get("Accept", ""))
            self._send(handler, page, self.on_pages)
        else:
            content = self._content(rest) if top == "files" else None
            found = None if content is None else (content, "application/octet-stream")
            is_metadata = rest.endswith(".metadata")
            self._send(handler, found, self.on_pages if is_metadata else self.on_files)

    def _may(self, authorization: str | None) -> bool:
        if self.credentials is None:
            return True
        expected = base64.b64encode(":".join(self.credentials).encode()).decode()
        return authorization == f"Basic {expected}"

    def _send(
        self, handler: BaseHTTPRequestHandler, found: tuple[bytes, str] | None, fault: Fault | None
    ) -> None:
        if fault is Fault.CLOSED or (fault is Fault.SILENT and self._wait(fault)):
            handler.close_connection = True
            return
        if found is None or fault in {Fault.MISSING, Fault.FAILING}:
            handler.send_response(500 if fault is Fault.FAILING else 404)
            handler.send_header("Content-Length", "0")
            handler.end_headers()
            return
        content, kind = found
        handler.send_response(200)
        handler.send_header("Content-Type", kind)
        handler.send_header("Content-Length", str(len(content)))
        handler.end_headers()
        if handler.command == "HEAD":
            return
        if fault is Fault.CHANGED:
            content = content[:-1] + bytes([content[-1] ^ 1])
        is_cut = fault in {Fault.HALF, Fault.STALLED}
        handler.wfile.write(content[: len(content) // 2] if is_cut else content)
        if fault is Fault.STALLED:
            handler.wfile.flush()
            self._wait(fault)
        if is_cut:
            handler.close_connection = True

    def _wait(self, fault: Fault) -> bool:
        """Say nothing until the fault is over or the index ends; True."""
        for _ in range(int(_LONGEST_S / _LOOK_S)):
            if self._ended.wait(_LOOK_S) or fault not in {self.on_pages, self.on_files}:
                break
        return True

    # -- pages -----------------------------------------------------------------------------------

    def _page(self, project: str, *, in_json: bool) -> tuple[bytes, str] | None:
        """Return the page of a project, or of all; None where there is no such project."""
        if not project:
            names = sorted({_project(file) for file in self._packages()})
            if in_json:
                listed = [{"name": name} for name in names]
                return _json({"meta": {"api-version": "1.1"}, "projects": listed})
            return _html(f'<a href="{name}/">{name}</a>' for name in names)
        name = canonicalize_name(project)
        files = [self._described(file) for file in self._packages() if _project(file) == name]
        if not files:
            return None
        if in_json:
            versions = sorted({_version(Path(file["filename"])) for file in files})
            meta = {"api-version": "1.1"}
            return _json({"meta": meta, "name": name, "versions": versions, "files": files})
        return _html(_link(file) for file in files)

    def _described(self, file: Path) -> dict[str, Any]:
        told: dict[str, Any] = {
            "filename": file.name,
            "url": f"/files/{file.name}",
            "hashes": {"sha256": hashlib.sha256(file.read_bytes()).hexdigest()},
            "size": file.stat().st_size,
            "yanked": self.yanked.get(file.name, False),
        }
        if self.has_upload_times:
            moment = datetime.fromtimestamp(int(file.stat().st_mtime), UTC)
            told["upload-time"] = moment.strftime("%Y-%m-%dT%H:%M:%SZ")
        described = _metadata(file)
        if described is not None:
            told["core-metadata"] = {"sha256": hashlib.sha256(described).hexdigest()}
            wanted = [
                line for line in described.decode().splitlines() if line.startswith("Requires-Py")
            ]
            if wanted:
                told["requires-python"] = wanted[0].partition(": ")[2]
        return told

    def _packages(self) -> list[Path]:
        return sorted(
            file for file in self.folder.iterdir() if file.name.endswith((".whl", ".tar.gz"))
        )

    def _content(self, name: str) -> bytes | None:
        """Return a file's bytes, or those of its metadata; None where there is no such file."""
        # Compared with what is there: no path leads anywhere else.
        for file in self._packages():
            if name == file.name:
                return file.read_bytes()
            if name == f"{file.name}.metadata":
                return _metadata(file)
        return None


@contextlib.contextmanager
def package_index(folder: Path) -> Iterator[PackageIndex]:
    """Run an index over the packages in `folder` on a free port meanwhile."""
    index = PackageIndex(folder)
    index.up()
    try:
        yield index
    finally:
        index.down()


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    block_on_close = False

    def __init__(self, port: int, answer: Callable[[BaseHTTPRequestHandler], None]) -> None:
        class Handler(BaseHTTPRequestHandler):
            timeout = _LONGEST_S

            def do_GET(self) -> None:
                with contextlib.suppress(OSError):
                    answer(self)

            def do_HEAD(self) -> None:
                self.do_GET()

            def log_message(self, *_: Any) -> None:
                pass

        super().__init__(("127.0.0.1", port), Handler)
        self._thread = threading.Thread(target=self.serve_forever, args=(_LOOK_S,), daemon=True)
        self._thread.start()

    def handle_error(self, *_: Any) -> None:
        """Stay quiet of connections that callers end."""

    def close(self) -> None:
        """Take no more connections."""
        self.shutdown()
        self.server_close()
        self._thread.join(_LONGEST_S)


def _project(file: Path) -> str:
    """Return the normalized name in a file's name."""
    if file.name.endswith(".whl"):
        return canonicalize_name(file.name.partition("-")[0])
    return canonicalize_name(file.name.removesuffix(".tar.gz").rpartition("-")[0])


def _version(file: Path) -> str:
    if file.name.endswith(".whl"):
        return file.name.split("-")[1]
    return file.name.removesuffix(".tar.gz").rpartition("-")[2]


def _metadata(file: Path) -> bytes | None:
    """Return a wheel's metadata; None of a source package, whose own may be changed by a build."""
    if file.suffix != ".whl":
        return None
    with zipfile.ZipFile(file) as archive:
        return archive.read(
            next(one for one in archive.namelist() if one.endswith(".dist-info/METADATA"))
        )


def _json(document: dict[str, Any]) -> tuple[bytes, str]:
    return json.dumps(document).encode(), JSON


def _html(links: Iterator[str]) -> tuple[bytes, str]:
    return f"<!DOCTYPE html><html><body>{'<br>'.join(links)}</body></html>".encode(), _HTML


def _link(file: dict[str, Any]) -> str:
    attributes = [f'href="{file["url"]}#sha256={file["hashes"]["sha256"]}"']
    if file["yanked"] is not False:
        attributes.append(f'data-yanked="{html.escape(file["yanked"])}"')
    if "requires-python" in file:
        attributes.append(f'data-requires-python="{html.escape(file["requires-python"])}"')
    if "core-metadata" in file:
        attributes.append(f'data-core-metadata="sha256={file["core-metadata"]["sha256"]}"')
    return f"<a {' '.join(attributes)}>{file['filename']}</a>"
