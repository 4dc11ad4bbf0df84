"""Answers that the protocol gives by itself, before or instead of the application's."""

from http import HTTPStatus

import msgspec

_TYPE_PREFIX = "urn:mlflow-hotswap:"


class Refusal(msgspec.Struct, frozen=True):
    """One such answer: `raw` is the whole of it, as it goes over the connection."""

    code: str
    raw: bytes


def _refusal(status: HTTPStatus, code: str, title: str, detail: str, *headers: bytes) -> Refusal:
    """Write a problem details answer (RFC 9457) after which the connection is closed."""
    problem = {
        "type": _TYPE_PREFIX + code,
        "title": title,
        "status": int(status),
        "detail": detail,
    }
    body = msgspec.json.encode(problem)
    lines = [
        b"HTTP/1.1 %d %b" % (status, status.phrase.encode()),
        b"content-type: application/problem+json",
        b"content-length: %d" % len(body),
        b"connection: close",
        b"x-content-type-options: nosniff",
        *headers,
    ]
    return Refusal(code, b"\r\n".join(lines) + b"\r\n\r\n" + body)


HEAD_TIMEOUT = _refusal(
    HTTPStatus.REQUEST_TIMEOUT,
    "head-timeout",
    "The request's head took too long",
    "the head of a request has to arrive within HEAD_TIMEOUT_S",
)
BODY_TIMEOUT = _refusal(
    HTTPStatus.REQUEST_TIMEOUT,
    "body-timeout",
    "The request's body took too long",
    "a body has to go on within BODY_TIMEOUT_S, and to come at 1 kB a second at least",
)
HEAD_TOO_LARGE = _refusal(
    HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE,
    "head-too-large",
    "The request's head is too large",
    "request line, headers and trailers may have 64 kB and 128 fields",
)
MALFORMED = _refusal(
    HTTPStatus.BAD_REQUEST,
    "malformed-request",
    "This is no HTTP request",
    "the request is not HTTP/1.1, or its body is framed in too many small chunks",
)
BODIES_FULL = _refusal(
    HTTPStatus.SERVICE_UNAVAILABLE,
    "bodies-full",
    "Too many bodies are under way",
    "the bodies that are under way would be over MAX_BODIES_BYTES together",
    b"retry-after: 1",
)
CONNECTIONS_FULL = _refusal(
    HTTPStatus.SERVICE_UNAVAILABLE,
    "connections-full",
    "Too many connections are open",
    "there are MAX_CONNECTIONS already, and each of them has a request under way",
    b"retry-after: 1",
)
