"""Errors as gRPC has them: a status, a sentence, and what callers' libraries read beside it."""

from http import HTTPStatus
from urllib.parse import quote

import grpc
import structlog

from service.core.errors import CallerGoneError, NotAcceptableError, ServiceError, UnknownModelError
from service.core.text import ANSWER_CHARACTERS, presentable
from service.core.tracebacks import release_frames
from service.handlers.grpc.context import Context
from service.handlers.grpc.trailers import end_with
from service.handlers.problems import UNEXPECTED, headers_of, note, status_of

CODES = {
    HTTPStatus.BAD_REQUEST: grpc.StatusCode.INVALID_ARGUMENT,
    HTTPStatus.UNAUTHORIZED: grpc.StatusCode.UNAUTHENTICATED,
    HTTPStatus.FORBIDDEN: grpc.StatusCode.PERMISSION_DENIED,
    HTTPStatus.NOT_FOUND: grpc.StatusCode.NOT_FOUND,
    # As gRPC itself answers a message that is too large.
    HTTPStatus.REQUEST_ENTITY_TOO_LARGE: grpc.StatusCode.RESOURCE_EXHAUSTED,
    HTTPStatus.SERVICE_UNAVAILABLE: grpc.StatusCode.UNAVAILABLE,
    HTTPStatus.GATEWAY_TIMEOUT: grpc.StatusCode.DEADLINE_EXCEEDED,
}
"""gRPC's codes, by HTTP's."""
OWN_CODES: dict[type[ServiceError], grpc.StatusCode] = {
    CallerGoneError: grpc.StatusCode.CANCELLED,
    # Rows without a value, of a datatype that has none in binary.
    NotAcceptableError: grpc.StatusCode.FAILED_PRECONDITION,
}
"""Errors that have another code than their status has."""
_SENTENCE_BYTES = 4_096
"""The most of a sentence on its way, where what is not ASCII takes three characters a byte.

Libraries take 8 kB of all that follows an answer.
"""
_MILLISECONDS = 1_000

_log = structlog.get_logger("grpc")


def fail(context: Context, error: Exception) -> bytes:
    """Have the call end by an error; the message returned is not sent. To be called last."""
    if not isinstance(error, ServiceError):
        _log.error("call broke off", exc_info=error)
        release_frames(error)
        return end(context, grpc.StatusCode.INTERNAL, UNEXPECTED)
    status = status_of(error)
    note(error, status)
    code = OWN_CODES.get(type(error)) or CODES.get(status, grpc.StatusCode.INTERNAL)
    sentence = str(error)
    if isinstance(error, UnknownModelError) and error.names:
        sentence += f"; there are: {', '.join(error.names)}"
    metadata = headers_of(error, status)
    if retry_after := metadata.get("retry-after"):
        # What gRPC's libraries go by where they are set to try again.
        metadata["grpc-retry-pushback-ms"] = str(int(retry_after) * _MILLISECONDS)
    end_with(context, tuple(metadata.items()))
    return end(context, code, sentence)


def end(context: Context, code: grpc.StatusCode, sentence: str) -> bytes:
    """Have the call end so. By setters: to raise what aborts a call costs as much as the call."""
    context.set_code(code)
    shown = presentable(sentence, ANSWER_CHARACTERS)
    while len(quote(shown)) > _SENTENCE_BYTES:
        shown = shown[: len(shown) * 3 // 4] + "..."
    context.set_details(shown)
    return b""
