"""Read in a request's head its size, its body's length, and the protocol that it asks for."""

import urllib.parse
from typing import Any

import httptools

_Headers = list[tuple[bytes, bytes]]
_ASKS_TO_UPGRADE = {b"upgrade", b"connection", b"http2-settings"}


def head_size(url: bytes, headers: _Headers) -> int:
    """Return how many bytes a head has, its first line but for the URL apart."""
    return len(url) + sum(len(name) + len(value) + 4 for name, value in headers)


def describe(scope: Any, parser: httptools.HttpRequestParser, url: bytes) -> str:
    """Say in a request's scope what is asked, by its first line; return HTTP's version."""
    version: str = parser.get_http_version()
    if version != "1.1":
        scope["http_version"] = version
    scope["method"] = parser.get_method().decode("ascii")
    parsed = httptools.parse_url(url)
    raw_path = parsed.path
    path = raw_path.decode("ascii")
    if "%" in path:
        path = urllib.parse.unquote(path)
    root_path: str = scope["root_path"]
    scope["path"] = root_path + path
    scope["raw_path"] = root_path.encode("ascii") + raw_path
    scope["query_string"] = parsed.query or b""
    return version


def announced_bytes(headers: _Headers, most: int) -> int:
    """Return how long the body is to be; 0 where that is not told, or too long to be kept."""
    length = next((int(value) for name, value in headers if name == b"content-length"), 0)
    return length if length <= most else 0


def head_without_upgrade(
    parser: httptools.HttpRequestParser, url: bytes, headers: _Headers
) -> bytes:
    """Return the head that a parser has stopped after, without what asks for another protocol.

    There is none to change to, and a server may ignore `Upgrade` (RFC 9110, section 7.8). The
    parser can't: it takes all that follows such a head for the other protocol. So a new one has to
    begin with this head. Whether the connection is to be closed stays as it was.
    """
    version = parser.get_http_version().encode()
    lines = [b"%b %b HTTP/%b" % (parser.get_method(), url, version)]
    lines += [b"%b: %b" % (name, value) for name, value in headers if name not in _ASKS_TO_UPGRADE]
    if any(name == b"connection" and b"close" in value.lower() for name, value in headers):
        lines.append(b"connection: close")
    return b"\r\n".join(lines) + b"\r\n\r\n"
