"""Errors of paths and methods that no handler has: in the form of the protocol whose path it is."""

from collections.abc import Callable
from typing import Any

from litestar import Request, Response
from litestar.exceptions import HTTPException

from service.handlers import problems

ErrorHandler = Callable[[Request[Any, Any, Any], HTTPException], Response[Any]]


class Unrouted:
    """Answers such an error by the first of some protocols whose path it is, else as a problem."""

    def __init__(self, *protocols: tuple[Callable[[str], bool], ErrorHandler]) -> None:
        self._protocols = protocols

    def __call__(self, request: Request[Any, Any, Any], error: HTTPException) -> Response[Any]:
        """Answer it."""
        path = request.scope["path"]
        for is_its_path, answer in self._protocols:
            if is_its_path(path):
                return answer(request, error)
        return problems.answer_http_error(request, error)
