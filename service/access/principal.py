"""The bearer of a key or a token, and what it may do."""

from enum import StrEnum
from typing import Final

import msgspec

from service.core.errors import PermissionDeniedError


class Scope(StrEnum):
    """What a key or a token is for."""

    PREDICT = "predict"
    """To ask for predictions, and for what a model takes and gives."""
    READ = "read"
    """To see what is served, how it came to, metrics and descriptions."""
    ADMIN = "admin"
    """To change what is served, and all that the other two may."""


class Permission(StrEnum):
    """What a call wants of its caller. Each route and each RPC has one."""

    OPEN = "open"
    """Nothing: probes, and what brings a proof of its own."""
    HEALTH = "health"
    """Nothing; only that a caller with a key is told more."""
    ANY = "any"
    """A key of any scope: what clients ask before they ask for predictions."""
    PREDICT = "predict"
    READ = "read"
    ADMIN = "admin"


SCOPES: Final[dict[Permission, frozenset[Scope]]] = {
    Permission.ANY: frozenset(Scope),
    Permission.PREDICT: frozenset({Scope.PREDICT, Scope.ADMIN}),
    Permission.READ: frozenset({Scope.READ, Scope.ADMIN}),
    Permission.ADMIN: frozenset({Scope.ADMIN}),
}
"""Which scopes give a permission: one of them is enough. What is not here wants none."""


class Principal(msgspec.Struct, frozen=True, kw_only=True):
    """The bearer of a key or a token.

    `name` is for logs and never a secret. `models` has the names that deployments have in paths,
    None for all of them, those that come later too. `expires_at` is the Unix time from which on it
    counts for nothing, None for never.
    """

    name: str
    scopes: frozenset[Scope]
    models: frozenset[str] | None = None
    expires_at: float | None = None

    def may(self, permission: Permission) -> bool:
        """Tell whether it has a scope for this."""
        wanted = SCOPES.get(permission)
        return wanted is None or not self.scopes.isdisjoint(wanted)

    def may_use(self, model: str) -> bool:
        """Tell whether the model of this name is one that it may use."""
        return self.models is None or model in self.models


EVERYONE: Final = Principal(name="everyone", scopes=frozenset(Scope))
"""Any caller of a service that wants no keys; who may change what is served is asked elsewhere."""
NOBODY: Final = Principal(name="nobody", scopes=frozenset(), models=frozenset())
"""A caller without a key where keys are wanted: it may call what is open, and sees no model."""


def require(principal: Principal, permission: Permission) -> None:
    """Raise PermissionDeniedError where a caller has no scope for this."""
    if not principal.may(permission):
        scopes = sorted(SCOPES[permission])
        raise PermissionDeniedError(
            f"the key {principal.name!r} has no scope for this call: "
            f"it wants {' or '.join(scopes)}",
            "" if permission is Permission.ANY else permission.value,
        )
