"""ADMIN_TOKEN: the short form of one key with the scope `admin`."""

import hmac
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from hashlib import sha256

from service.access.principal import Principal, Scope

_BEARER = Principal(name="ADMIN_TOKEN", scopes=frozenset({Scope.ADMIN}))


class AdminToken:
    """Knows one token, which never changes; see Authenticator."""

    trouble = ""

    def __init__(self, token: str) -> None:
        self._digest = sha256(token.encode()).digest()

    async def principal_of(self, token: str) -> Principal | None:
        """Return its bearer; of another token not even the length can be told by the time."""
        digest = sha256(token.encode()).digest()
        return _BEARER if hmac.compare_digest(digest, self._digest) else None

    @asynccontextmanager
    async def running(self, forget: Callable[[], None]) -> AsyncIterator[None]:
        """Follow nothing."""
        del forget
        yield
