"""A source of keys or tokens that callers are known by."""

from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from typing import Protocol

from service.access.principal import Principal


class Authenticator(Protocol):
    """One source; `Gate` asks several in turn, and the first that knows a token decides."""

    @property
    def trouble(self) -> str:
        """Why it goes by what it knew before, a sentence for the log and `/health`; '' if not."""
        ...

    async def principal_of(self, token: str) -> Principal | None:
        """Return the bearer of a token, None where it is not one of this source's.

        What the gate has been told it remembers until `expires_at`, or until `forget` is called.
        """
        ...

    def running(self, forget: Callable[[], None]) -> AbstractAsyncContextManager[None]:
        """Follow the source meanwhile; call `forget` once what it said before may be wrong."""
        ...
