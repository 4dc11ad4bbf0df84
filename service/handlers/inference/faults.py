"""Errors as the protocol has them: an object with one sentence, `error`."""

from http import HTTPStatus
from typing import Any

import msgspec
from litestar import Request, Response
from litestar.exceptions import HTTPException

from service.core.errors import ServiceError
from service.core.text import ANSWER_CHARACTERS, presentable
from service.handlers import problems
from service.handlers.answer import Answer
from service.handlers.problems import headers_of, note, status_of, too_large

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


def has_path(path: str) -> bool:
    """Tell whether a path is the protocol's, if there is none such either."""
    return path == "/v2" or path.startswith("/v2/")


def answer_service_error(_: Request[Any, Any, Any], error: ServiceError) -> Response[Any]:
    """Answer one of our own errors."""
    return answer_of(error).response()


def answer_of(error: ServiceError) -> Answer:
    """Return the answer to one of our own errors; what no caller must see goes into the log."""
    status = status_of(error)
    note(error, status)
    return _fault(status, str(error), headers_of(error, status), is_ours=error.is_ours)


def answer_http_error(request: Request[Any, Any, Any], error: HTTPException) -> Response[Any]:
    """Answer an error of the framework's, such as a body that is too large."""
    status = HTTPStatus(error.status_code)
    message = error.detail
    if status is HTTPStatus.REQUEST_ENTITY_TOO_LARGE:
        message = str(too_large(request))
    elif status >= HTTPStatus.INTERNAL_SERVER_ERROR:
        return answer_unexpected(request, error)
    return _fault(status, message or status.phrase, dict(error.headers or {})).response()


def answer_unexpected(_: Request[Any, Any, Any], error: Exception) -> Response[Any]:
    """Answer a defect of ours: nothing of it to the caller, all of it in the log."""
    problems.note_unexpected(error)
    return _fault(HTTPStatus.INTERNAL_SERVER_ERROR, problems.UNEXPECTED, {}).response()


FAULTS: dict[int | type[Exception], Any] = {
    ServiceError: answer_service_error,
    HTTPException: answer_http_error,
    Exception: answer_unexpected,
}
"""What answers the errors of each call of the protocol."""


def _fault(
    status: HTTPStatus, message: str, headers: dict[str, str], *, is_ours: bool = False
) -> Answer:
    """Build an error's answer; unless it is ours, its sentence may be a model's or the caller's."""
    shown = message if is_ours else presentable(message, ANSWER_CHARACTERS)
    body = msgspec.json.encode(InferenceFault(shown))
    # Clients read `error` only if the content type is exactly this.
    return Answer.of(int(status), "application/json", body, headers)
