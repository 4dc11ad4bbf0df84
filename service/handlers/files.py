"""Files that come with the package, as browsers get them: with an `ETag`, under a strict policy."""

import hashlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

import anyio.to_thread
from litestar import HttpMethod, Request, Response
from litestar.exceptions import NotFoundException

from service.handlers.answer import Answer

READS = [HttpMethod.GET, HttpMethod.HEAD]
NOT_KEPT_BLINDLY = "no-cache"
"""A browser keeps it, and asks each time whether it is still the same."""


class File(NamedTuple):
    """A file's bytes, and the tag by which a browser says that it has them."""

    body: bytes
    etag: str


class Files:
    """The files of one folder, by name: read when they are first asked for, and kept.

    `kinds` has the media type of each file that may be asked for.
    """

    def __init__(self, folder: Path, kinds: Mapping[str, str]) -> None:
        self._folder = folder
        self._kinds = kinds
        self._read: dict[str, File] = {}

    def kind(self, name: str) -> str:
        """Return a file's media type. Raise NotFoundException where there is no such file."""
        kind = self._kinds.get(name)
        if kind is None:
            raise NotFoundException("no file of the page has this name")
        return kind

    async def read(self, name: str) -> File:
        """Return a file. Raise NotFoundException where there is none of this name."""
        self.kind(name)
        known = self._read.get(name)
        if known is None:
            known = self._read[name] = await anyio.to_thread.run_sync(read_file, self._folder, name)
        return known


def read_file(folder: Path, name: str) -> File:
    """Read a file. It blocks."""
    body = (folder / name).read_bytes()
    return File(body, f'"{hashlib.sha256(body).hexdigest()[:32]}"')


def answer_file(
    request: Request[Any, Any, Any],
    file: File,
    kind: str,
    headers: Mapping[str, str],
    cache_control: str = NOT_KEPT_BLINDLY,
) -> Response[Any]:
    """Answer 200, or 304 where the caller has it already; without the body to HEAD."""
    body = file.body
    told = {**headers, "etag": file.etag, "cache-control": cache_control}
    if is_known(request.headers.getall("if-none-match", []), file.etag):
        return Response(b"", status_code=304, headers=told, media_type=kind)
    if request.method == HttpMethod.HEAD:
        told["content-length"] = str(len(body))
        body = b""
    # A view, since that is handed to the connection in parts where it is large.
    return Answer.of(200, kind, memoryview(body), told).response()


def is_known(given: list[str], etag: str) -> bool:
    """Tell whether `If-None-Match` has this tag, or any at all (RFC 9110, section 13.1.2)."""
    tags = [tag.strip().removeprefix("W/") for one in given for tag in one.split(",")]
    return etag in tags or "*" in tags
