"""Which bearer a caller is: asks the sources of keys in turn, and remembers whom they know."""

from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from time import time

from service.access.authenticator import Authenticator
from service.access.failed_attempts import FailedAttempts
from service.access.principal import EVERYONE, NOBODY, Permission, Principal, require
from service.core.errors import UnauthorizedError, UnknownKeyError

AUTHORIZATION = b"authorization"
_BEARER = b"bearer "
_LONGEST_BYTES = 16_384
"""Longer credentials are not looked at."""
_REMEMBERED = 1_024
"""So many bearers are remembered; only those whom a source knows, so that no flood fills it."""
_HOW = "send a key as 'Authorization: Bearer ...'"


class Gate:
    """Tells bearers by what callers send in `Authorization`, or in gRPC's metadata of that name.

    `wants_keys` says whether predictions and reads want one; without it the sources are asked for
    who may change what is served alone.
    """

    def __init__(self, sources: Sequence[Authenticator], *, wants_keys: bool) -> None:
        self.wants_keys = wants_keys
        self.has_sources = bool(sources)
        """Whether there is any key at all, if only the ADMIN_TOKEN."""
        self._sources = sources
        self._failed = FailedAttempts()
        self._known: dict[bytes, Principal] = {}
        """Bearers by what they send.

        A dictionary compares it with a key only where all 64 bits of a hash are the same, which is
        keyed anew in each process: the time of a look-up tells nothing of what is in it.
        """
        self._forgotten = 0

    @property
    def trouble(self) -> str:
        """Why keys are not those that their sources have now; '' where they are."""
        return "; ".join(filter(None, (source.trouble for source in self._sources)))

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """Follow all sources meanwhile."""
        async with AsyncExitStack() as running:
            for source in self._sources:
                await running.enter_async_context(source.running(self.forget))
            yield

    def forget(self) -> None:
        """Ask the sources again for every bearer."""
        self._forgotten += 1
        self._known.clear()

    async def admit(self, given: Sequence[bytes], permission: Permission) -> Principal:
        """Return the caller of a call that wants this, by the credentials that it sends.

        Who may change what is served where there is no source at all is asked elsewhere. Raise
        UnauthorizedError where a key is wanted, and PermissionDeniedError where this one is not for
        the call.
        """
        stranger = NOBODY if self.wants_keys else EVERYONE
        is_keyed = self.has_sources if permission is Permission.ADMIN else self.wants_keys
        if permission is Permission.OPEN or not is_keyed:
            return stranger
        if permission is Permission.HEALTH:
            return await self.recognized(given) or stranger
        principal = await self.bearer(given)
        if principal is None:
            raise no_key()
        require(principal, permission)
        return principal

    async def recognized(self, given: Sequence[bytes]) -> Principal | None:
        """Return the bearer of what a caller sends, None where no source knows it."""
        try:
            return await self.bearer(given)
        except UnauthorizedError:
            return None

    def known(self, credentials: bytes | None) -> Principal | None:
        """Return a bearer that is remembered, else None, without asking a source.

        For the way of each request.
        """
        if credentials is None or len(credentials) > _LONGEST_BYTES:
            return None
        found = self._known.get(credentials)
        if found is None or found.expires_at is None or time() < found.expires_at:
            return found
        return None

    async def bearer(self, given: Sequence[bytes]) -> Principal | None:
        """Return the bearer of what a caller sends, None where it sends nothing.

        Raise UnknownKeyError where no source knows it: after a delay, always in the same words.
        """
        if not given:
            return None
        if len(given) == 1:
            found = await self.find(given[0])
            if found is not None:
                return found
        await self._failed.delayed()
        raise UnknownKeyError(f"what is sent in 'Authorization' is no key of this service: {_HOW}")

    async def entered(self, key: str) -> tuple[bytes, Principal]:
        """Return what stands for a key that somebody has entered on the page, and its bearer.

        Raise UnknownKeyError where no source knows it: after a delay, always in the same words.
        """
        credentials = b"Bearer " + key.encode("utf-8", "surrogatepass")
        found = await self.find(credentials)
        if found is None:
            await self._failed.delayed()
            raise UnknownKeyError("this is no key of this service")
        return credentials, found

    async def find(self, credentials: bytes) -> Principal | None:
        """Return the bearer of what was sent once, None where no source knows it now."""
        return self.known(credentials) or await self._ask(credentials)

    async def _ask(self, credentials: bytes) -> Principal | None:
        token = _token_in(credentials)
        if token is None:
            return None
        forgotten = self._forgotten
        for source in self._sources:
            found = await source.principal_of(token)
            if found is None:
                continue
            if found.expires_at is not None and found.expires_at <= time():
                return None
            # What a source said before it changed may be wrong by now.
            if forgotten == self._forgotten:
                self._remember(credentials, found)
            return found
        return None

    def _remember(self, credentials: bytes, principal: Principal) -> None:
        if len(self._known) >= _REMEMBERED:
            del self._known[next(iter(self._known))]
        self._known[credentials] = principal


def no_key() -> UnauthorizedError:
    """Return the error for a call without a key that wants one."""
    return UnauthorizedError(f"a key is wanted: {_HOW}")


def _token_in(credentials: bytes) -> str | None:
    """Return the token, None where this is no bearer's or none that could be a token."""
    if len(credentials) > _LONGEST_BYTES or credentials[: len(_BEARER)].lower() != _BEARER:
        return None
    token = credentials[len(_BEARER) :].strip(b" ")
    if not token or not all(0x21 <= byte <= 0x7E for byte in token):  # noqa: PLR2004 - ! and ~
        return None
    return token.decode("ascii")
