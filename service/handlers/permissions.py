"""What each call wants of its caller, in whichever protocol, and which models its caller sees."""

import re
from collections.abc import Callable, Iterable, Mapping
from typing import Any, Final

from litestar.handlers import HTTPRouteHandler

from service.access.principal import NOBODY, Permission, Principal
from service.core.errors import NoDefaultModelError, PermissionDeniedError, UnknownModelError
from service.core.text import NAME_CHARACTERS, presentable
from service.deployment import Deployment
from service.deployments import Deployments

PERMISSION: Final = "permission"
"""The option of a route that says what it wants; one without it wants the scope `admin`."""
_STATE = "principal"


def permissions_of(handlers: Iterable[HTTPRouteHandler]) -> Callable[[str, str], Permission]:
    """Return what tells by path and method what a call of these handlers wants.

    A path may have the name of a model where the route has a parameter.
    """
    known = [
        (re.compile("[^/]+".join(map(re.escape, re.split(r"{[^}]*}", path)))), handler)
        for handler in handlers
        for path in handler.paths
    ]

    def permission_of(path: str, method: str) -> Permission:
        found: Permission = next(
            handler.opt.get(PERMISSION, Permission.ADMIN)
            for pattern, handler in known
            if method.upper() in handler.http_methods and pattern.fullmatch(path)
        )
        return found

    return permission_of


def bind_principal(scope: Any, principal: Principal) -> None:
    """Have `principal_in` return it for the rest of the request."""
    scope["state"][_STATE] = principal


def principal_in(scope: Any) -> Principal:
    """Return the caller of a request; nobody, where no guard has looked."""
    found: Principal = scope["state"].get(_STATE, NOBODY)
    return found


def require_model(principal: Principal, name: str) -> None:
    """Raise PermissionDeniedError where a caller may not use a model, whether it exists or not."""
    if not principal.may_use(name):
        raise PermissionDeniedError(
            f"the key {principal.name!r} is not for the model "
            f"{presentable(name, NAME_CHARACTERS)!r}"
        )


def require_every_model(principal: Principal) -> None:
    """Raise PermissionDeniedError where a caller may use some models only."""
    if principal.models is not None:
        raise PermissionDeniedError(
            f"this call tells of every model, and the key {principal.name!r} is for some of them"
        )


def visible(deployments: Deployments, principal: Principal) -> Mapping[str, Deployment]:
    """Return the deployments that a caller may know of."""
    if principal.models is None:
        return deployments
    return {name: one for name, one in deployments.items() if principal.may_use(name)}


def chosen(deployments: Deployments, principal: Principal, name: str | None) -> Deployment:
    """Return the deployment of a name, the default one where there is none.

    Raise PermissionDeniedError, UnknownModelError and NoDefaultModelError, which name no model that
    the caller may not use.
    """
    if principal.models is None:
        return deployments.named(name) if name else deployments.default
    name = name or deployments.settings.default
    if not name:
        raise NoDefaultModelError([*visible(deployments, principal)])
    require_model(principal, name)
    try:
        return deployments.named(name)
    except UnknownModelError:
        raise UnknownModelError(name, [*visible(deployments, principal)]) from None
