"""Sign in on the page with a key, and out again: a cookie stands for the key meanwhile."""

from typing import Annotated, Any

import msgspec
import structlog
from litestar import Request, Response, delete, get, post
from litestar.di import NamedDependency
from litestar.params import RawBody

from service.access.gate import Gate
from service.access.principal import Permission
from service.core.errors import ContractViolationError, MalformedBodyError, UnauthorizedError
from service.handlers.guards import own_page, plain_body, require_json
from service.handlers.permissions import PERMISSION
from service.handlers.session_cookie import PAGE, SessionCookie

SESSION_PATH = f"{PAGE}/:session"
"""No model has a colon in its name."""
_MOST_BYTES = 65_536
_LONGEST_KEY = 16_384

_log = structlog.get_logger("access")


class _Entered(msgspec.Struct, forbid_unknown_fields=True):
    key: Annotated[str, msgspec.Meta(min_length=1, max_length=_LONGEST_KEY)]


_decode = msgspec.json.Decoder(_Entered).decode


class SignedIn(msgspec.Struct):
    """The bearer of the key that was entered."""

    name: str
    scopes: list[str]
    models: list[str] | None


@post(
    SESSION_PATH,
    status_code=200,
    guards=[plain_body, own_page],
    opt={PERMISSION: Permission.OPEN},
    request_max_body_size=_MOST_BYTES,
)
async def sign_in(
    request: Request[Any, Any, Any],
    body: RawBody,
    gate: NamedDependency[Gate],
    session_cookie: NamedDependency[SessionCookie],
) -> Response[SignedIn]:
    """Begin a session for `{"key": "..."}`, a key or a token of any scope.

    It has a new token whatever the browser had before: what somebody else may know counts no more.
    """
    require_json(request)
    credentials, principal = await gate.entered(_key_in(body))
    sessions = session_cookie.sessions
    if before := session_cookie.find(request):
        sessions.close(before)
    _log.info("signed in on the page", key=principal.name)
    models = principal.models
    told = SignedIn(
        principal.name,
        sorted(principal.scopes),
        None if models is None else sorted(models),
    )
    cookie = session_cookie.written(sessions.open(credentials), request)
    return Response(told, headers={"set-cookie": cookie})


@get(SESSION_PATH, status_code=204, guards=[own_page], opt={PERMISSION: Permission.OPEN})
async def keep_session(
    request: Request[Any, Any, Any], session_cookie: NamedDependency[SessionCookie]
) -> None:
    """Renew the caller's session, for a page that nobody looks at. Raise UnauthorizedError."""
    if session_cookie.find(request) is None:
        raise UnauthorizedError("nobody is signed in here")


@delete(
    SESSION_PATH,
    status_code=204,
    guards=[own_page],
    opt={PERMISSION: Permission.OPEN},
)
async def sign_out(
    request: Request[Any, Any, Any], session_cookie: NamedDependency[SessionCookie]
) -> Response[None]:
    """End the caller's session; its streams of events end with it."""
    if session := session_cookie.find(request):
        session_cookie.sessions.close(session)
    return Response(None, headers={"set-cookie": session_cookie.written("", request)})


def _key_in(body: bytes) -> str:
    """Return the key that a body has. Nothing of a body is in an error: it may be a secret."""
    try:
        return _decode(body).key.strip()
    except msgspec.ValidationError:
        wanted = f'{{"key": "..."}} with at most {_LONGEST_KEY} characters'
        raise ContractViolationError("", None, wanted, "something else") from None
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        raise MalformedBodyError('the body is no JSON such as {"key": "..."}') from None
