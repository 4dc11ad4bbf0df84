"""Errors as MLflow's scoring server gives them: an `error_code` and a `message`."""

from http import HTTPStatus
from typing import Any

import msgspec
from litestar import Request, Response
from litestar.exceptions import HTTPException

from service.core import errors
from service.core.errors import ServiceError
from service.core.text import ANSWER_CHARACTERS, presentable
from service.handlers import problems
from service.handlers.answer import Answer
from service.handlers.problems import STATUS_BY_ERROR, headers_of, note, status_of, too_large

CODES = {
    HTTPStatus.BAD_REQUEST: "BAD_REQUEST",
    HTTPStatus.UNAUTHORIZED: "UNAUTHENTICATED",
    HTTPStatus.FORBIDDEN: "PERMISSION_DENIED",
    HTTPStatus.NOT_FOUND: "RESOURCE_DOES_NOT_EXIST",
    HTTPStatus.METHOD_NOT_ALLOWED: "BAD_REQUEST",
    HTTPStatus.REQUEST_ENTITY_TOO_LARGE: "BAD_REQUEST",
    HTTPStatus.SERVICE_UNAVAILABLE: "TEMPORARILY_UNAVAILABLE",
    HTTPStatus.GATEWAY_TIMEOUT: "DEADLINE_EXCEEDED",
}
"""MLflow's names, by their status."""
_OTHER = "INTERNAL_ERROR"
_PATHS = frozenset({"/ping", "/version"})
_BEGINNINGS = ("/endpoints/", "/serving-endpoints/")
_MODEL_RAISED = (
    "Encountered an unexpected error while evaluating the model. Verify that the serialized input "
    "Dataframe is compatible with the model for inference."
)
"""What MLflow's own server says of a model that raises."""


class ScoringFault(msgspec.Struct):
    """What an error's body has."""

    error_code: str
    message: str


def has_path(path: str) -> bool:
    """Tell whether a path is the protocol's, if there is none such either."""
    return path in _PATHS or path.endswith("/invocations") or path.startswith(_BEGINNINGS)


def answer_service_error(_: Request[Any, Any, Any], error: ServiceError) -> Response[Any]:
    """Answer one of our own errors."""
    return answer_of(error).response()


def answer_of(error: ServiceError) -> Answer:
    """Return the answer to one of our own errors; what no caller must see goes into the log."""
    status, code, message = _as_mlflow(error)
    note(error, STATUS_BY_ERROR.get(type(error), status))
    return _fault(status, code, message, headers_of(error, status), is_ours=error.is_ours)


def answer_http_error(request: Request[Any, Any, Any], error: HTTPException) -> Response[Any]:
    """Answer an error of the framework's, such as a body that is too large."""
    status = HTTPStatus(error.status_code)
    message = error.detail
    if status is HTTPStatus.REQUEST_ENTITY_TOO_LARGE:
        message = str(too_large(request))
    elif status >= HTTPStatus.INTERNAL_SERVER_ERROR:
        return answer_unexpected(request, error)
    code = CODES.get(status, _OTHER)
    return _fault(status, code, message or status.phrase, dict(error.headers or {})).response()


def answer_unexpected(_: Request[Any, Any, Any], error: Exception) -> Response[Any]:
    """Answer a defect of ours: nothing of it to the caller, all of it in the log."""
    problems.note_unexpected(error)
    status = HTTPStatus.INTERNAL_SERVER_ERROR
    return _fault(status, _OTHER, problems.UNEXPECTED, {}).response()


FAULTS: dict[int | type[Exception], Any] = {
    ServiceError: answer_service_error,
    HTTPException: answer_http_error,
    Exception: answer_unexpected,
}
"""What answers the errors of each call of the protocol."""


def _as_mlflow(error: ServiceError) -> tuple[HTTPStatus, str, str]:
    """Return the status, the name and the sentence of an error."""
    if isinstance(error, errors.ScoringError):
        return HTTPStatus(error.status), error.error_code, str(error)
    status = status_of(error)
    if type(error) is errors.ModelFailedError:
        status, message = HTTPStatus.BAD_REQUEST, f"{_MODEL_RAISED} Error: {error}"
        return status, CODES[status], message
    message = str(error)
    if isinstance(error, errors.UnknownModelError):
        # This form has no place for them but the sentence.
        message += f"; there are: {', '.join(map(repr, error.names))}"
    return status, CODES.get(status, _OTHER), message


def _fault(
    status: HTTPStatus, code: str, message: str, headers: dict[str, str], *, is_ours: bool = False
) -> Answer:
    if not is_ours:
        message = presentable(message, ANSWER_CHARACTERS)
    if status is HTTPStatus.UNSUPPORTED_MEDIA_TYPE:
        return Answer.of(int(status), "text/plain", message.encode(), headers)
    body = msgspec.json.encode(ScoringFault(code, message))
    return Answer.of(int(status), "application/json", body, headers)
