"""`/ui/:files/...`: the page's scripts and styles, in a folder that says which ones they are."""

import hashlib
from pathlib import Path
from typing import Any

from litestar import Request, Response, route
from litestar.di import NamedDependency
from litestar.params import FromPath

import service.page
from service.access.principal import Permission
from service.handlers.files import NOT_KEPT_BLINDLY, READS, Files, answer_file
from service.handlers.permissions import PERMISSION
from service.handlers.security_headers import OF_PAGES
from service.handlers.session_cookie import PAGE

FOLDER = Path(service.page.__file__).parent / "static"
PATH = f"{PAGE}/:files"
_TYPES = {".css": "text/css", ".js": "text/javascript", ".svg": "image/svg+xml"}
_KEPT_FOR_EVER = "public, max-age=31536000, immutable"


class StaticFiles(Files):
    """The page's files: `path` has the folder of these, which other ones have under another name.

    So a browser that has loaded them once asks for none again until they change.
    """

    def __init__(self, folder: Path = FOLDER) -> None:
        names = sorted(path.name for path in folder.iterdir() if path.suffix in _TYPES)
        super().__init__(folder, {name: _TYPES[Path(name).suffix] for name in names})
        digest = hashlib.sha256()
        for name in names:
            digest.update(name.encode() + b"\0" + (folder / name).read_bytes() + b"\0")
        self._mark = digest.hexdigest()[:16]
        self.path = f"{PATH}/{self._mark}"
        """The folder by which pages load them."""

    def is_current(self, mark: str) -> bool:
        """Tell whether a page asks for these, and not for those of another release."""
        return mark == self._mark


@route(f"{PATH}/{{mark:str}}/{{name:str}}", http_method=READS, opt={PERMISSION: Permission.OPEN})
async def page_file(
    request: Request[Any, Any, Any],
    mark: FromPath[str],
    name: FromPath[str],
    static_files: NamedDependency[StaticFiles],
) -> Response[Any]:
    """Answer with a file of the page. Raise NotFoundException for any other."""
    kind = static_files.kind(name)
    file = await static_files.read(name)
    kept = _KEPT_FOR_EVER if static_files.is_current(mark) else NOT_KEPT_BLINDLY
    return answer_file(request, file, kind, OF_PAGES, kept)
