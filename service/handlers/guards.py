"""Who may make which call, and under which names the service may be called."""

import structlog
from litestar import HttpMethod
from litestar.handlers.base import BaseRouteHandler

from service.access.gate import AUTHORIZATION, Gate
from service.access.principal import EVERYONE, NOBODY, Permission, Principal
from service.core.errors import (
    ForbiddenError,
    ServiceError,
    UnauthorizedError,
    UnsupportedContentTypeError,
)
from service.handlers.host_names import HostNames, is_loopback
from service.handlers.media import Media, check_encoding
from service.handlers.permissions import PERMISSION, bind_principal
from service.handlers.session_cookie import (
    Connection,
    SessionCookie,
    bind_session,
    require_own_page,
    session_in,
    values,
)
from service.settings.service import ServiceSettings

ANY_HOST = "any_host"
"""The option of a call that may come under any name: a probe of `/health`, a signed delivery."""

_FORWARDED = ("forwarded", "forwarded-for", "via", "client-ip", "true-client-ip", "cdn-loop")
_FORWARDED_BEGIN = (
    "x-forwarded",
    "x-original-",
    "x-cluster-",
    "x-envoy-",
    "x-proxy",
    "cf-",
    "x-client-ip",
    "x-real-ip",
    "x-remote-ip",
    "x-originating-ip",
    "x-coming-from",
    "x-appengine-",
    "x-azure-",
    "x-amzn-",
    "fastly-",
    "fly-",
)
"""Headers that proxies add: a request that has one may have begun on another machine."""
_OWN_FETCHES = frozenset({b"none", b"same-origin"})

_log = structlog.get_logger("access")


async def permitted(connection: Connection, handler: BaseRouteHandler) -> None:
    """Let in a caller that has what the call wants, and have `principal_in` return it.

    What changes what is served wants a key wherever there is one, if only the ADMIN_TOKEN; where
    there is none it is for programs on this machine, or with ADMIN_OPEN anywhere. Raise
    UnauthorizedError, PermissionDeniedError, and ForbiddenError where a web page may have called.
    """
    gate: Gate = connection.app.state.gate
    permission = handler.opt.get(PERMISSION, Permission.ADMIN)
    if connection.scope.get("method") == HttpMethod.OPTIONS:
        # The framework's own handlers say which methods there are; a browser asks without a key.
        permission = Permission.OPEN
    if permission is Permission.ADMIN and not gate.has_sources:
        _refuse_strangers(connection)
    given = values(connection, AUTHORIZATION)
    if not given and permission is not Permission.OPEN:
        given = await _of_session(connection)
    principal = await gate.admit(given, permission)
    bind_principal(connection.scope, principal)
    if permission is Permission.ADMIN and gate.has_sources:
        _log.info("an operator calls", key=principal.name, path=connection.scope["path"])


async def known_names(connection: Connection, handler: BaseRouteHandler) -> None:
    """Refuse a call under a name that is not this service's own, where it is on loopback alone.

    With a key it may be called by any name: a web page has none. Raise ForbiddenError.
    """
    names: HostNames = connection.app.state.host_names
    if handler.opt.get(ANY_HOST) or not names.only_loopback or not _came_by_loopback(connection):
        return
    hosts = values(connection, b"host")
    if all(names.may_call(host) for host in hosts):
        return
    gate: Gate = connection.app.state.gate
    if await gate.recognized(values(connection, AUTHORIZATION)):
        return
    raise ForbiddenError(
        f"the service listens on loopback alone and is not known as {_told(hosts)}: call it by "
        "127.0.0.1 or localhost, or name this host in ALLOWED_HOSTS if a proxy passes it on"
    )


async def own_page(connection: Connection, _: BaseRouteHandler) -> None:
    """Refuse a call that this service's own page does not make, before its body is read."""
    require_own_page(connection)


async def caller_now(connection: Connection, permission: Permission) -> Principal | None:
    """Return the caller of a call that was let in, as it is now; for an answer that has no end.

    None once it would be let in no more: its key was revoked, or its session has ended.
    """
    gate: Gate = connection.app.state.gate
    session = session_in(connection.scope)
    given = values(connection, AUTHORIZATION)
    if session is not None:
        cookie: SessionCookie = connection.app.state.session_cookie
        if not cookie.sessions.is_open(session):
            return None
        given = [session.credentials]
    if not gate.wants_keys:
        return EVERYONE
    principal = await gate.find(given[0]) if given else NOBODY
    return principal if principal is not None and principal.may(permission) else None


async def who_may_change(connection: Connection) -> Principal | None:
    """Return by which key a caller may change what is served, None where it may not.

    It refuses nothing, and is for what shows such calls.
    """
    gate: Gate = connection.app.state.gate
    session = session_in(connection.scope)
    given = values(connection, AUTHORIZATION) or ([session.credentials] if session else [])
    try:
        if not gate.has_sources:
            _refuse_strangers(connection)
            names: HostNames = connection.app.state.host_names
            if not all(names.may_be_local(host) for host in values(connection, b"host")):
                # Its calls will have this name in `Origin`, by which a web page is told.
                return None
        return await gate.admit(given, Permission.ADMIN)
    except ServiceError:
        return None


def plain_body(connection: Connection, _: BaseRouteHandler) -> None:
    """Refuse a body with a Content-Encoding, before it is read; for each call that takes a body."""
    check_encoding(b", ".join(values(connection, b"content-encoding")).decode("latin-1"))


def require_json(connection: Connection) -> None:
    """Raise UnsupportedContentTypeError unless the body says that it is JSON.

    A web page may send other kinds to anyone without being asked for a permission.
    """
    kinds = [
        kind.partition(b";")[0].strip().lower() for kind in values(connection, b"content-type")
    ]
    if kinds != [Media.JSON.encode()]:
        raise UnsupportedContentTypeError(
            "the content type has to be application/json "
            "(curl: -H 'content-type: application/json')"
        )


async def _of_session(connection: Connection) -> list[bytes]:
    """Return the credentials that a call's session stands for, if it has one and may use it.

    Raise ForbiddenError where a page of another origin makes the call.
    """
    cookie: SessionCookie = connection.app.state.session_cookie
    session = cookie.find(connection)
    if session is None:
        return []
    require_own_page(connection)
    gate: Gate = connection.app.state.gate
    if await gate.find(session.credentials) is None:
        # Its key was revoked, or has expired.
        cookie.sessions.close(session)
        return []
    bind_session(connection.scope, session)
    return [session.credentials]


def _refuse_web_pages(connection: Connection, names: HostNames, *, anywhere: bool) -> None:
    """Raise ForbiddenError where a web page may have made this call."""
    hosts = values(connection, b"host")
    if not anywhere and not (len(hosts) == 1 and names.may_be_local(hosts[0])):
        raise ForbiddenError(
            f"this call is open under loopback's names only, and came under {_told(hosts)}: call "
            "the service by 127.0.0.1 or localhost, or set ADMIN_TOKEN and send it as "
            "'Authorization: Bearer ...'"
        )
    for site in values(connection, b"sec-fetch-site"):
        if site not in _OWN_FETCHES:
            raise ForbiddenError("this call comes from a page of another site")
    for origin in values(connection, b"origin"):
        if len(hosts) != 1 or not names.is_own_page(origin, hosts[0]):
            raise ForbiddenError("this call comes from a page of another origin")


def _refuse_strangers(connection: Connection) -> None:
    """Raise UnauthorizedError from afar, and ForbiddenError where a web page may have called."""
    settings: ServiceSettings = connection.app.state.settings
    if not settings.admin_open and not _on_loopback(connection):
        raise UnauthorizedError(
            "this call is open on loopback only: set ADMIN_TOKEN and send it as "
            "'Authorization: Bearer ...', or set ADMIN_OPEN=true"
        )
    _refuse_web_pages(connection, connection.app.state.host_names, anywhere=settings.admin_open)


def _on_loopback(connection: Connection) -> bool:
    if connection.client is None or not is_loopback(connection.client.host):
        return False
    return not any(
        name in _FORWARDED or name.startswith(_FORWARDED_BEGIN)
        for name in (header.decode("latin-1") for header, _ in connection.scope["headers"])
    )


def _came_by_loopback(connection: Connection) -> bool:
    """Return whether the address that was called is loopback's; another server may choose it."""
    server = connection.scope.get("server")
    return server is None or is_loopback(server[0])


def _told(hosts: list[bytes]) -> str:
    """Return what came as `Host`, short and printable."""
    return ", ".join(ascii(host.decode("latin-1")[:100]) for host in hosts[:3]) or "no name"
