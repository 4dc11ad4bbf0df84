"""The cookie by which a browser that is signed in on the page is known, and from where it counts.

A browser sends it by itself, which no other credential of this service is: so it counts for the
page's own calls alone. Its path is the page's, no other site's page has it sent (SameSite), and a
page of another origin on this site, which has it sent, is told by `Origin` and `Sec-Fetch-Site`.
"""

from secrets import token_hex
from typing import Any, Final

from litestar.connection import ASGIConnection

from service.access.sessions import Session, Sessions
from service.core.errors import ForbiddenError

PAGE: Final = "/ui"
"""The path of the page, and of all calls that a session counts for."""
_HTTPS = b"https"
_SCHEMES = (b"http", _HTTPS)
_SAFE = frozenset({"GET", "HEAD"})
_OWN_SITE = frozenset({b"same-origin", b"none"})
_KEY = "session"

Connection = ASGIConnection[Any, Any, Any, Any]


class SessionCookie:
    """Reads and writes it. Its name is of this process alone, as its sessions are.

    Browsers do not tell ports of one host from each other: another service on this machine would
    otherwise write over it, and so would this one's predecessor.
    """

    def __init__(self, sessions: Sessions) -> None:
        self.sessions = sessions
        self._name = f"hotswap-{token_hex(8)}"

    def find(self, connection: Connection) -> Session | None:
        """Return the session of a call below the page's path, None where it has none."""
        path: str = connection.scope["path"]
        if path != PAGE and not path.startswith(f"{PAGE}/"):
            return None
        tokens = self._tokens(connection)
        # One of two is somebody else's, and which is not said.
        return self.sessions.find(tokens[0]) if len(tokens) == 1 else None

    def written(self, token: str, connection: Connection) -> str:
        """Return `Set-Cookie` for a session that this call has begun; '' as its token ends it."""
        secure = "; Secure" if _came_by_tls(connection) else ""
        ended = "" if token else "; Max-Age=0"
        return f"{self._name}={token}; Path={PAGE}; HttpOnly; SameSite=Strict{secure}{ended}"

    def _tokens(self, connection: Connection) -> list[str]:
        name = self._name.encode()
        pairs = [
            pair.strip().partition(b"=")
            for header in values(connection, b"cookie")
            for pair in header.split(b";")
        ]
        return [value.decode("latin-1") for known, _, value in pairs if known == name]


def values(connection: Connection, name: bytes) -> list[bytes]:
    """Return every value that a header has."""
    return [value for header, value in connection.scope["headers"] if header == name]


def bind_session(scope: Any, session: Session) -> None:
    """Have `session_in` return it for the rest of the request."""
    scope["state"][_KEY] = session


def session_in(scope: Any) -> Session | None:
    """Return the session that a call came by, None where it came by none."""
    found: Session | None = scope["state"].get(_KEY)
    return found


def require_own_page(connection: Connection) -> None:
    """Raise ForbiddenError unless the page itself makes this call, as far as its browser says.

    What changes something has to have an `Origin`, as browsers send it, that is the name under
    which the service was called. A page that is opened, by a link or by its address, is no call of
    another page.
    """
    hosts, origins = values(connection, b"host"), values(connection, b"origin")
    is_safe = connection.scope.get("method") in _SAFE
    if is_safe and values(connection, b"sec-fetch-mode") == [b"navigate"]:
        return
    if any(site not in _OWN_SITE for site in values(connection, b"sec-fetch-site")):
        raise ForbiddenError("this call comes from a page of another site or origin")
    if is_safe and not origins:
        return
    if len(origins) != 1 or len(hosts) != 1 or not _is_of(origins[0], hosts[0]):
        raise ForbiddenError(
            "this call does not come from the page of this service: 'Origin' has to be there, and "
            "to name what 'Host' does (a proxy has to pass 'Host' on)"
        )


def _is_of(origin: bytes, host: bytes) -> bool:
    scheme, mark, authority = origin.lower().partition(b"://")
    return bool(mark) and scheme in _SCHEMES and bool(authority) and authority == host.lower()


def _came_by_tls(connection: Connection) -> bool:
    """Tell whether the browser speaks TLS, to this service or to a proxy in front of it."""
    if connection.scope.get("scheme") == _HTTPS.decode():
        return True
    return any(origin.lower().startswith(_HTTPS) for origin in values(connection, b"origin"))
