"""Addresses that are fetched from, and whether what they answer can be relied on."""

from contextlib import suppress
from ipaddress import ip_address
from urllib.parse import SplitResult, urlsplit


def is_safe(address: str) -> bool:
    """Tell whether nobody between could change what is answered: https, or this machine."""
    return _safe(address) is not None


def is_issuer(address: str) -> bool:
    """Tell whether this is the name of an OpenID issuer: a safe address without a query."""
    parts = _safe(address)
    return parts is not None and not ({"?", "#"} & set(address))


def _safe(address: str) -> SplitResult | None:
    try:
        parts = urlsplit(address)
        host, _ = parts.hostname, parts.port
    except ValueError:
        return None
    if not host or "@" in parts.netloc or not all("!" <= sign <= "~" for sign in address):
        return None
    is_safe = parts.scheme == "https" or (parts.scheme == "http" and _is_loopback(host))
    return parts if is_safe else None


def _is_loopback(host: str) -> bool:
    with suppress(ValueError):
        return ip_address(host).is_loopback
    return host == "localhost"
