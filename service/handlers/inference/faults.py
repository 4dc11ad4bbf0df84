"""Errors as the protocol has them: an object with one sentence, `error`."""

from http import HTTPStatus
from typing import Any

import msgspec
from litestar import Request, Response
from litestar.exceptions import HTTPException

from service.core.errors import ServiceError
from service.core.text import ANSWER_CHARACTERS, presentable
from service.handlers import problems
from service.handlers.problems import STATUS_BY_ERROR, headers_of, note, too_large

PATH = "/v2"
MEANINGS = {
    HTTPStatus.BAD_REQUEST: "What the served version does not take, or no request at all",
    HTTPStatus.FORBIDDEN: "Under a name that is not this service's own",
    HTTPStatus.NOT_FOUND: "No such model, or not the version that serves",
    HTTPStatus.NOT_ACCEPTABLE: "An output that has no binary form",
    HTTPStatus.REQUEST_ENTITY_TOO_LARGE: "Over MAX_BODY_BYTES, or far more once decoded",
    HTTPStatus.UNSUPPORTED_MEDIA_TYPE: "With a Content-Encoding other than gzip and deflate",
    HTTPStatus.INTERNAL_SERVER_ERROR: "The model raised, or its process ended",
    HTTPStatus.SERVICE_UNAVAILABLE: "No version can answer, or too much is asked",
    HTTPStatus.GATEWAY_TIMEOUT: "No answer within REQUEST_TIMEOUT_S",
}
"""What the statuses of errors mean: all that a request for predictions can meet."""


class InferenceFault(msgspec.Struct):
    """What an error's body has."""

    error: str


def answer_service_error(_: Request[Any, Any, Any], error: ServiceError) -> Response[bytes]:
    """Answer one of our own errors; what a caller must not see goes into the log."""
    status = STATUS_BY_ERROR.get(type(error), HTTPStatus.INTERNAL_SERVER_ERROR)
    note(error, status)
    return fault(status, str(error), headers_of(error, status))


def answer_http_error(request: Request[Any, Any, Any], error: HTTPException) -> Response[bytes]:
    """Answer an error of the framework's, such as a body that is too large."""
    status = HTTPStatus(error.status_code)
    message = error.detail
    if status is HTTPStatus.REQUEST_ENTITY_TOO_LARGE:
        message = str(too_large(request))
    elif status >= HTTPStatus.INTERNAL_SERVER_ERROR:
        return answer_unexpected(request, error)
    return fault(status, message or status.phrase, dict(error.headers or {}))


def answer_unexpected(request: Request[Any, Any, Any], error: Exception) -> Response[bytes]:
    """Answer a defect of ours: nothing of it to the caller, all of it in the log."""
    told = problems.answer_unexpected(request, error)
    return fault(HTTPStatus(told.status_code or 500), "the service failed; its log says how", {})


def answer_unrouted(request: Request[Any, Any, Any], error: HTTPException) -> Response[bytes]:
    """Answer a path or method that does not exist: in this protocol's form if it is one of its."""
    path = request.scope["path"]
    if path == PATH or path.startswith(f"{PATH}/"):
        return answer_http_error(request, error)
    return problems.answer_http_error(request, error)


FAULTS: dict[int | type[Exception], Any] = {
    ServiceError: answer_service_error,
    HTTPException: answer_http_error,
    Exception: answer_unexpected,
}
"""What answers the errors of each call of the protocol."""


def fault(status: HTTPStatus, message: str, headers: dict[str, str]) -> Response[bytes]:
    """Build an error's answer; its sentence may have a model's texts, or the caller's."""
    return Response(
        msgspec.json.encode(InferenceFault(presentable(message, ANSWER_CHARACTERS))),
        status_code=int(status),
        # Clients read `error` only if the content type is exactly this.
        media_type="application/json",
        headers=headers,
    )
