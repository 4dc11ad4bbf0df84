"""Errors as RFC 9457 problem details: the one place where our errors meet HTTP's."""

import math
from http import HTTPStatus
from typing import Any

import msgspec
import structlog
from litestar import Request, Response
from litestar.exceptions import HTTPException

from service.core import errors
from service.core.errors import ServiceError
from service.core.text import ANSWER_CHARACTERS, presentable
from service.core.tracebacks import release_frames
from service.core.version_names import VersionNames
from service.handlers.answer import Answer

MEDIA_TYPE = "application/problem+json"
TYPE_PREFIX = "urn:mlflow-hotswap:"

STATUS_BY_ERROR: dict[type[ServiceError], HTTPStatus] = {
    errors.MalformedBodyError: HTTPStatus.BAD_REQUEST,
    errors.MalformedHeaderError: HTTPStatus.BAD_REQUEST,
    errors.ContractViolationError: HTTPStatus.BAD_REQUEST,
    errors.UnauthorizedError: HTTPStatus.UNAUTHORIZED,
    errors.UnknownKeyError: HTTPStatus.UNAUTHORIZED,
    errors.ForbiddenError: HTTPStatus.FORBIDDEN,
    errors.PermissionDeniedError: HTTPStatus.FORBIDDEN,
    errors.UnsignedWebhookError: HTTPStatus.UNAUTHORIZED,
    errors.SpentWebhookError: HTTPStatus.BAD_REQUEST,
    errors.BodyTooLargeError: HTTPStatus.REQUEST_ENTITY_TOO_LARGE,
    errors.AnswerTooLargeError: HTTPStatus.REQUEST_ENTITY_TOO_LARGE,
    errors.UnsupportedContentTypeError: HTTPStatus.UNSUPPORTED_MEDIA_TYPE,
    errors.NotAcceptableError: HTTPStatus.NOT_ACCEPTABLE,
    errors.RefusedError: HTTPStatus.CONFLICT,
    errors.PinUnknownError: HTTPStatus.CONFLICT,
    errors.SupersededError: HTTPStatus.CONFLICT,
    errors.UnknownVersionError: HTTPStatus.NOT_FOUND,
    errors.UnknownModelError: HTTPStatus.NOT_FOUND,
    errors.NoDefaultModelError: HTTPStatus.NOT_FOUND,
    errors.NothingPromotedError: HTTPStatus.CONFLICT,
    errors.ModelFailedError: HTTPStatus.INTERNAL_SERVER_ERROR,
    errors.UnwritableAnswerError: HTTPStatus.INTERNAL_SERVER_ERROR,
    errors.NonFinitePredictionError: HTTPStatus.INTERNAL_SERVER_ERROR,
    errors.ChildLostError: HTTPStatus.INTERNAL_SERVER_ERROR,
    errors.SourceUnavailableError: HTTPStatus.BAD_GATEWAY,
    errors.FetchFailedError: HTTPStatus.BAD_GATEWAY,
    errors.EnvironmentNotBuiltError: HTTPStatus.BAD_GATEWAY,
    errors.NoVersionError: HTTPStatus.SERVICE_UNAVAILABLE,
    errors.ShuttingDownError: HTTPStatus.SERVICE_UNAVAILABLE,
    errors.OverloadedError: HTTPStatus.SERVICE_UNAVAILABLE,
    errors.CallerGoneError: HTTPStatus.SERVICE_UNAVAILABLE,
    errors.RequestTimeoutError: HTTPStatus.GATEWAY_TIMEOUT,
    errors.QueueTimeoutError: HTTPStatus.GATEWAY_TIMEOUT,
    errors.DeadlineExceededError: HTTPStatus.GATEWAY_TIMEOUT,
    errors.ReloadTimeoutError: HTTPStatus.GATEWAY_TIMEOUT,
}
"""The status of each error; `status_of` looks it up."""

_TITLES: dict[type[ServiceError], str] = {
    errors.MalformedBodyError: "The body can't be read",
    errors.MalformedHeaderError: "A header can't be read",
    errors.ContractViolationError: "The request breaks the model's contract",
    errors.NotAcceptableError: "No kind of answer that is accepted can be given",
    errors.UnauthorizedError: "A key is wanted",
    errors.UnknownKeyError: "The key is not known",
    errors.PermissionDeniedError: "The key is not for this",
    errors.ForbiddenError: "A web page may have made this call",
    errors.UnsignedWebhookError: "The delivery is not signed as MLflow signs",
    errors.SpentWebhookError: "The delivery comes too late, or again",
    errors.BodyTooLargeError: "The body is too large",
    errors.AnswerTooLargeError: "The answer would be too large",
    errors.UnsupportedContentTypeError: "The body is of a kind that is not spoken here",
    errors.RefusedError: "The version was refused",
    errors.PinUnknownError: "It is unknown whether a version is pinned",
    errors.UnknownVersionError: "There is no such version",
    errors.UnknownModelError: "There is no such model",
    errors.NoDefaultModelError: "Which model is meant is not said",
    errors.SupersededError: "A newer promotion came first",
    errors.NothingPromotedError: "Nothing is promoted",
    errors.ModelFailedError: "The model raised",
    errors.UnwritableAnswerError: "The model's answer can't be written",
    errors.NonFinitePredictionError: "The model's answer is not a finite number",
    errors.ChildLostError: "The model's process ended over this request",
    errors.SourceUnavailableError: "The registry can't be asked",
    errors.FetchFailedError: "The version can't be fetched",
    errors.EnvironmentNotBuiltError: "The version's environment can't be built",
    errors.NoVersionError: "No version can answer",
    errors.ShuttingDownError: "The service is ending",
    errors.CallerGoneError: "The caller has gone",
    errors.OverloadedError: "More is asked than can be answered in time",
    errors.RequestTimeoutError: "No answer in time",
    errors.QueueTimeoutError: "No worker was free in time",
    errors.DeadlineExceededError: "The caller's own time for it is over",
    errors.ReloadTimeoutError: "The reload is still under way",
}

UNEXPECTED = "the service failed; its log says how"
"""What a caller is told of a defect of ours."""
_NOT_LOGGED = (errors.OverloadedError, errors.CallerGoneError, errors.DeadlineExceededError)

_log = structlog.get_logger("http")


def answer_service_error(_: Request[Any, Any, Any], error: ServiceError) -> Response[Any]:
    """Answer one of our own errors."""
    return answer_of(error).response()


def answer_of(error: ServiceError) -> Answer:
    """Return the answer to one of our own errors; what no caller must see goes into the log."""
    status = status_of(error)
    note(error, status)
    headers = headers_of(error, status)
    title = _TITLES.get(type(error), "The service failed")
    return problem(
        *(status, TYPE_PREFIX + error.code, title, str(error), error.extras(), headers),
        is_ours=error.is_ours,
    )


def status_of(error: ServiceError) -> HTTPStatus:
    """Return an error's status: 500 where it has none, since it is our own fault then."""
    return STATUS_BY_ERROR.get(type(error), HTTPStatus.INTERNAL_SERVER_ERROR)


def note(error: ServiceError, status: HTTPStatus) -> None:
    """Log what an error has that its caller must not see, and let go of what it came through."""
    release_frames(error)
    version = error.answered_by
    if isinstance(error, _NOT_LOGGED):
        # Thousands of them come in a second where a line for each would be the next overload.
        _log.debug("request refused", reason=str(error), version=version and version.version)
        return
    log = _log.bind(model=version.name, version=version.version) if version else _log
    if isinstance(error, errors.ModelFailedError):
        log.error("model raised", reason=str(error), exception=error.detail)
    elif isinstance(error, errors.ChildLostError):
        log.error("request lost its workers", last_lines=error.last_lines)
    elif status >= HTTPStatus.INTERNAL_SERVER_ERROR:
        log.warning("request failed", code=error.code, reason=str(error))


def headers_of(error: ServiceError, status: HTTPStatus) -> dict[str, str]:
    """Return which version an error is of, when to try again, and what credentials are wanted."""
    version = error.answered_by
    headers = dict(VersionNames.of(version).headers) if version else {}
    if isinstance(error, errors.OverloadedError):
        headers["retry-after"] = _retry_after(error)
    elif status is HTTPStatus.SERVICE_UNAVAILABLE:
        headers["retry-after"] = "1"
    if challenge := _challenge(error, status):
        headers["www-authenticate"] = challenge
    return headers


def _challenge(error: ServiceError, status: HTTPStatus) -> str:
    """Return what credentials are wanted (RFC 6750, section 3); '' where none are."""
    if isinstance(error, errors.UnsignedWebhookError):
        return "X-MLflow-Signature"
    if isinstance(error, errors.PermissionDeniedError):
        scope = f', scope="{error.scope}"' if error.scope else ""
        return f'Bearer error="insufficient_scope"{scope}'
    if status is HTTPStatus.UNAUTHORIZED:
        unknown = isinstance(error, errors.UnknownKeyError)
        return 'Bearer error="invalid_token"' if unknown else "Bearer"
    return ""


def too_large(request: Request[Any, Any, Any]) -> errors.BodyTooLargeError:
    """Return our own error for a body over the limit that the framework holds."""
    limit = request.route_handler.resolve_request_max_body_size()
    ours = " (MAX_BODY_BYTES)" if limit == request.app.state.settings.max_body_bytes else ""
    return errors.BodyTooLargeError(f"the body is over {limit} bytes{ours}")


def _retry_after(error: errors.OverloadedError) -> str:
    """Return whole seconds, as the header wants them."""
    return str(max(1, math.ceil(error.retry_after_s)))


def answer_http_error(request: Request[Any, Any, Any], error: HTTPException) -> Response[Any]:
    """Answer an error of the framework's: a path or method that does not exist, and the like."""
    status = HTTPStatus(error.status_code)
    if status is HTTPStatus.REQUEST_ENTITY_TOO_LARGE:
        return answer_service_error(request, too_large(request))
    if status >= HTTPStatus.INTERNAL_SERVER_ERROR:
        return answer_unexpected(request, error)
    detail = error.detail
    if isinstance(error.extra, list):
        # The detail alone names but the path, with a query of any length: it comes last.
        faults = [e for e in error.extra if isinstance(e, dict) and "message" in e]
        detail = "; ".join([*(_parameter_fault(request, e) for e in faults), detail])
    headers = dict(error.headers or {})
    return problem(status, "about:blank", status.phrase, detail, {}, headers).response()


def _parameter_fault(request: Request[Any, Any, Any], fault: dict[str, Any]) -> str:
    """Say what is wrong with a parameter, and what it may be where it has both bounds."""
    name = fault.get("key")
    field = request.route_handler.parsed_fn_signature.parameters.get(str(name))
    bounds = field.kwarg_definition if field is not None else None
    least, most = getattr(bounds, "ge", None), getattr(bounds, "le", None)
    allowed = f" may be {least} to {most}" if None not in {least, most} else ""
    return f"{name}{allowed}: {fault['message']}"


def answer_unexpected(_: Request[Any, Any, Any], error: Exception) -> Response[Any]:
    """Answer a defect of ours: nothing of it to the caller, all of it in the log."""
    note_unexpected(error)
    status = HTTPStatus.INTERNAL_SERVER_ERROR
    kind = TYPE_PREFIX + ServiceError.code
    return problem(status, kind, "The service failed", UNEXPECTED, {}, {}).response()


def note_unexpected(error: Exception) -> None:
    """Log a defect of ours, and let go of what it came through."""
    _log.error("request broke off", exc_info=error)
    release_frames(error)


def problem(
    status: HTTPStatus,
    kind: str,
    title: str,
    detail: str,
    extras: dict[str, Any],
    headers: dict[str, str],
    *,
    is_ours: bool = False,
) -> Answer:
    """Build a problem details answer (RFC 9457, section 3).

    Unless they are ours alone, its texts may be a model's or the caller's: they are cut, and hold
    no credentials.
    """
    shown: dict[str, Any] = {"detail": detail, **extras}
    if not is_ours:
        shown = {
            key: presentable(value, ANSWER_CHARACTERS) if isinstance(value, str) else value
            for key, value in shown.items()
        }
    document = {"type": kind, "title": title, "status": int(status), **shown}
    return Answer.of(int(status), MEDIA_TYPE, msgspec.json.encode(document), headers)
