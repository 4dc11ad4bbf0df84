"""`GET /schema/openapi.json`, and `/docs`: the page that shows it, Swagger UI from own files."""

from pathlib import Path
from typing import Any

from litestar import Request, Response, route
from litestar.di import NamedDependency
from litestar.exceptions import NotFoundException
from litestar.params import FromPath

from service.access.principal import Permission
from service.handlers.files import READS, File, Files, answer_file
from service.handlers.openapi.document import Documents
from service.handlers.permissions import PERMISSION, principal_in
from service.handlers.security_headers import OF_PAGES

DOCUMENT_PATH = "/schema/openapi.json"
PAGE_PATH = "/docs"
FOLDER = Path(__file__).parent / "swagger_ui"
_PAGE = "docs.html"
_KINDS = {
    "docs.html": "text/html",
    "docs.css": "text/css",
    "docs.js": "text/javascript",
    "swagger-ui.css": "text/css",
    "swagger-ui-bundle.js": "text/javascript",
    "favicon-32x32.png": "image/png",
}
"""The files that there are, and their kinds."""


class PageFiles(Files):
    """The page and what it loads."""

    def __init__(self) -> None:
        super().__init__(FOLDER, _KINDS)


@route(
    DOCUMENT_PATH,
    http_method=READS,
    opt={PERMISSION: Permission.ANY},
)
async def openapi_document(
    request: Request[Any, Any, Any], documents: NamedDependency[Documents]
) -> Response[Any]:
    """Answer with the OpenAPI document of what serves now."""
    written = await documents.current(principal_in(request.scope))
    file = File(written.body, written.etag)
    return answer_file(request, file, "application/json", written.headers)


@route(PAGE_PATH, http_method=READS, opt={PERMISSION: Permission.OPEN})
async def docs(
    request: Request[Any, Any, Any], page_files: NamedDependency[PageFiles]
) -> Response[Any]:
    """Answer with the page."""
    return await _file(request, page_files, _PAGE)


@route(f"{PAGE_PATH}/{{name:str}}", http_method=READS, opt={PERMISSION: Permission.OPEN})
async def docs_file(
    request: Request[Any, Any, Any], name: FromPath[str], page_files: NamedDependency[PageFiles]
) -> Response[Any]:
    """Answer with a file of the page. Raise NotFoundException for any other."""
    if name == _PAGE:
        raise NotFoundException("no file of the page has this name")
    return await _file(request, page_files, name)


async def _file(request: Request[Any, Any, Any], page_files: PageFiles, name: str) -> Response[Any]:
    return answer_file(request, await page_files.read(name), page_files.kind(name), OF_PAGES)
