"""The keys of API_KEYS_FILE, as they are now."""

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import anyio.to_thread
import structlog

from service.access.keys_file import KeysFileError, digest_of, read_keys
from service.access.principal import Principal
from service.settings.changed_file import Signature, signature_of
from service.settings.errors import SettingsError
from service.settings.followed import followed
from service.settings.texts import shown_setting

_log = structlog.get_logger("access")


class ApiKeys:
    """Knows the keys of a file, which is read again when it changes; see Authenticator.

    A file that can't be read leaves the keys in force that it had before, and opens nothing.
    """

    def __init__(self, file: Path) -> None:
        """Read the file. Raise SettingsError where it can't be used."""
        self.trouble = ""
        self._file = file
        # Before it is read: what is written meanwhile is seen at the next look.
        self._seen = signature_of(file)
        try:
            self._principals = _principals(file)
        except KeysFileError as error:
            raise SettingsError(
                f"{shown_setting('api_keys_file', str(file))} is wrong: {error}; allowed is a file "
                "that `hotswap key new --name NAME --scope predict` makes"
            ) from None

    async def principal_of(self, token: str) -> Principal | None:
        """Return a key's bearer.

        It is looked up by its digest: how long that takes tells of no key, known or not.
        """
        return self._principals.get(digest_of(token))

    @asynccontextmanager
    async def running(self, forget: Callable[[], None]) -> AsyncIterator[None]:
        """Look at the file each second meanwhile."""

        async def look() -> None:
            signature = await anyio.to_thread.run_sync(signature_of, self._file)
            # Again and again where it could not be read: what was wrong may be the disk.
            if signature != self._seen or self.trouble:
                await self._read(signature, forget)

        async with followed("API_KEYS_FILE", look):
            yield

    async def _read(self, signature: Signature, forget: Callable[[], None]) -> None:
        try:
            principals = await anyio.to_thread.run_sync(_principals, self._file)
        except KeysFileError as error:
            trouble = f"API_KEYS_FILE is not in force as it is now: {error}"
            if trouble != self.trouble:
                _log.error("API_KEYS_FILE is not in force", reason=str(error))
            self.trouble = trouble
        else:
            self._principals = principals
            self.trouble = ""
            _log.info("API_KEYS_FILE was read", keys=len(principals))
            forget()
        self._seen = signature


def _principals(file: Path) -> dict[str, Principal]:
    return {key.sha256: key.principal for key in read_keys(file)}
