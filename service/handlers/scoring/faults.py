"""Errors as MLflow's scoring server gives them: an `error_code` and a `message`."""

from http import HTTPStatus
from typing import Any

import msgspec
from litestar import Request, Response
from litestar.exceptions import HTTPException

from service.core import errors
from service.core.errors import ServiceError
from service.core.text import ANSWER_CHARACTERS, presentable
from service.handlers.problems import STATUS_BY_ERROR, headers_of, note, too_large

_CODES = {
    HTTPStatus.BAD_REQUEST: "BAD_REQUEST",
    HTTPStatus.UNAUTHORIZED: "UNAUTHENTICATED",
    HTTPStatus.FORBIDDEN: "PERMISSION_DENIED",
    HTTPStatus.NOT_FOUND: "RESOURCE_DOES_NOT_EXIST",
    HTTPStatus.METHOD_NOT_ALLOWED: "BAD_REQUEST",
    HTTPStatus.REQUEST_ENTITY_TOO_LARGE: "BAD_REQUEST",
    HTTPStatus.SERVICE_UNAVAILABLE: "TEMPORARILY_UNAVAILABLE",
    HTTPStatus.GATEWAY_TIMEOUT: "DEADLINE_EXCEEDED",
}
"""MLflow's names; any other status is INTERNAL_ERROR."""
_MODEL_RAISED = (
    "Encountered an unexpected error while evaluating the model. Verify that the serialized input "
    "Dataframe is compatible with the model for inference."
)
"""What MLflow's own server says of a model that raises."""


class ScoringFault(msgspec.Struct):
    """What an error's body has."""

    error_code: str
    message: str


def answer_scoring_error(_: Request[Any, Any, Any], error: ServiceError) -> Response[bytes]:
    """Answer one of our own errors; what a caller must not see goes into the log."""
    status, code, message = _as_mlflow(error)
    note(error, STATUS_BY_ERROR.get(type(error), status))
    return _fault(status, code, message, headers_of(error, status))


def answer_scoring_http_error(
    request: Request[Any, Any, Any], error: HTTPException
) -> Response[bytes]:
    """Answer an error of the framework's, such as a body that is too large."""
    status = HTTPStatus(error.status_code)
    message = error.detail
    if status is HTTPStatus.REQUEST_ENTITY_TOO_LARGE:
        message = str(too_large(request))
    return _fault(status, _CODES.get(status, "INTERNAL_ERROR"), message, dict(error.headers or {}))


def _as_mlflow(error: ServiceError) -> tuple[HTTPStatus, str, str]:
    """Return the status, the name and the sentence of an error."""
    if isinstance(error, errors.ScoringError):
        return HTTPStatus(error.status), error.error_code, str(error)
    status = STATUS_BY_ERROR.get(type(error), HTTPStatus.INTERNAL_SERVER_ERROR)
    if type(error) is errors.ModelFailedError:
        status, message = HTTPStatus.BAD_REQUEST, f"{_MODEL_RAISED} Error: {error}"
        return status, _CODES[status], message
    message = str(error)
    if isinstance(error, errors.UnknownModelError):
        # This form has no place for them but the sentence.
        message += f"; there are: {', '.join(map(repr, error.names))}"
    return status, _CODES.get(status, "INTERNAL_ERROR"), message


def _fault(status: HTTPStatus, code: str, message: str, headers: dict[str, str]) -> Response[bytes]:
    message = presentable(message, ANSWER_CHARACTERS)
    if status is HTTPStatus.UNSUPPORTED_MEDIA_TYPE:
        return Response(
            message.encode(), status_code=int(status), media_type="text/plain", headers=headers
        )
    return Response(
        msgspec.json.encode(ScoringFault(code, message)),
        status_code=int(status),
        media_type="application/json",
        headers=headers,
    )
