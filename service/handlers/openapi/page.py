"""`GET /schema/openapi.json`, and `/docs`: the page that shows it, Swagger UI from own files."""

import hashlib
from pathlib import Path
from typing import Any, NamedTuple

import anyio.to_thread
from litestar import HttpMethod, Request, Response, route
from litestar.di import NamedDependency
from litestar.exceptions import NotFoundException
from litestar.params import FromPath

from service.access.principal import Permission
from service.handlers.answer import Answer
from service.handlers.openapi.document import Documents
from service.handlers.permissions import PERMISSION, principal_in

DOCUMENT_PATH = "/schema/openapi.json"
PAGE_PATH = "/docs"
FOLDER = Path(__file__).parent / "swagger_ui"
_PAGE = "docs.html"
_READS = [HttpMethod.GET, HttpMethod.HEAD]
_KINDS = {
    "docs.html": "text/html",
    "docs.css": "text/css",
    "docs.js": "text/javascript",
    "swagger-ui.css": "text/css",
    "swagger-ui-bundle.js": "text/javascript",
    "favicon-32x32.png": "image/png",
}
"""The files that there are, and their kinds."""
SECURITY: dict[str, str] = {
    "content-security-policy": (
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; "
        "connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    ),
    "referrer-policy": "no-referrer",
    "cross-origin-opener-policy": "same-origin",
}
"""What the page may do: nothing of it comes from elsewhere, and nothing stands in it as code."""


class _File(NamedTuple):
    body: bytes
    etag: str


class PageFiles:
    """The page and what it loads: read when they are first asked for, and kept."""

    def __init__(self) -> None:
        self._read: dict[str, _File] = {}

    async def read(self, name: str) -> _File:
        """Return the file of this name, which is one of those that there are."""
        known = self._read.get(name)
        if known is None:
            known = self._read[name] = await anyio.to_thread.run_sync(_read, name)
        return known


@route(
    DOCUMENT_PATH,
    http_method=_READS,
    opt={PERMISSION: Permission.ANY},
)
async def openapi_document(
    request: Request[Any, Any, Any], documents: NamedDependency[Documents]
) -> Response[Any]:
    """Answer with the OpenAPI document of what serves now."""
    written = await documents.current(principal_in(request.scope))
    return _answer(request, written.body, written.etag, "application/json", dict(written.headers))


@route(PAGE_PATH, http_method=_READS, opt={PERMISSION: Permission.OPEN})
async def docs(
    request: Request[Any, Any, Any], page_files: NamedDependency[PageFiles]
) -> Response[Any]:
    """Answer with the page."""
    return await _file(request, page_files, _PAGE)


@route(f"{PAGE_PATH}/{{name:str}}", http_method=_READS, opt={PERMISSION: Permission.OPEN})
async def docs_file(
    request: Request[Any, Any, Any], name: FromPath[str], page_files: NamedDependency[PageFiles]
) -> Response[Any]:
    """Answer with a file of the page. Raise NotFoundException for any other."""
    if name not in _KINDS or name == _PAGE:
        raise NotFoundException("no file of the page has this name")
    return await _file(request, page_files, name)


async def _file(request: Request[Any, Any, Any], page_files: PageFiles, name: str) -> Response[Any]:
    file = await page_files.read(name)
    return _answer(request, file.body, file.etag, _KINDS[name], dict(SECURITY))


def _read(name: str) -> _File:
    body = (FOLDER / name).read_bytes()
    return _File(body, f'"{hashlib.sha256(body).hexdigest()[:32]}"')


def _answer(
    request: Request[Any, Any, Any], body: bytes, etag: str, kind: str, headers: dict[str, str]
) -> Response[Any]:
    """Answer 200, or 304 where the caller has it already; without the body to HEAD."""
    headers |= {"etag": etag, "cache-control": "no-cache"}
    if is_known(request.headers.getall("if-none-match", []), etag):
        return Response(b"", status_code=304, headers=headers, media_type=kind)
    if request.method == HttpMethod.HEAD:
        headers["content-length"] = str(len(body))
        body = b""
    # A view, since that is handed to the connection in parts where it is large.
    return Answer.of(200, kind, memoryview(body), headers).response()


def is_known(given: list[str], etag: str) -> bool:
    """Tell whether `If-None-Match` has this tag, or any at all (RFC 9110, section 13.1.2)."""
    tags = [tag.strip().removeprefix("W/") for one in given for tag in one.split(",")]
    return etag in tags or "*" in tags
