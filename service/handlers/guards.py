"""Who may change what is served."""

import hmac
import ipaddress
from typing import Any

from litestar.connection import ASGIConnection
from litestar.handlers.base import BaseRouteHandler

from service.core.errors import UnauthorizedError
from service.settings import Settings

_FORWARDED = ("forwarded", "x-forwarded-for", "x-real-ip", "via")
"""What a proxy adds: a request that has one did not begin on this machine for all we know."""


def administrators(connection: ASGIConnection[Any, Any, Any, Any], _: BaseRouteHandler) -> None:
    """Let in callers on loopback and those with the token; with ADMIN_OPEN, everyone.

    The token comes as `Authorization: Bearer $ADMIN_TOKEN`. Raise UnauthorizedError for all others.
    """
    settings: Settings = connection.app.state.settings
    if settings.admin_open or _on_loopback(connection):
        return
    if not settings.admin_token:
        raise UnauthorizedError(
            "this call is open on loopback only: set ADMIN_TOKEN and send it as "
            "'Authorization: Bearer ...', or set ADMIN_OPEN=true"
        )
    wanted = f"Bearer {settings.admin_token}".encode()
    given = connection.headers.get("authorization", "").encode()
    if not hmac.compare_digest(given, wanted):
        raise UnauthorizedError("'Authorization: Bearer ...' with the ADMIN_TOKEN is wanted")


def _on_loopback(connection: ASGIConnection[Any, Any, Any, Any]) -> bool:
    if connection.client is None or any(name in connection.headers for name in _FORWARDED):
        return False
    try:
        address = ipaddress.ip_address(connection.client.host)
    except ValueError:
        return False
    mapped = getattr(address, "ipv4_mapped", None)
    return (mapped or address).is_loopback
