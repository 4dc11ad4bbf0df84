"""Reads MODELS_FILE again when it changes, or when somebody asks for it."""

from collections.abc import Awaitable, Callable
from pathlib import Path

import anyio
import anyio.to_thread
import structlog

from service.settings.changed_file import Signature, signature_of
from service.settings.errors import SettingsError
from service.settings.models import read_models_file
from service.settings.settings import Settings

LOOK_S = 1.0
"""Seconds between two looks at the file."""

_log = structlog.get_logger("models-file")


class ModelsFile:
    """The file that describes the deployments, and whether what it says is in force."""

    def __init__(self, file: Path) -> None:
        self._file = file
        self._seen: Signature = None
        self._is_asked = False
        self.trouble = ""
        """Why what the file says now is not in force; '' where it is."""

    def ask(self) -> None:
        """Have it read again at the next look. A signal handler may call this."""
        self._is_asked = True

    async def follow(
        self, in_force: Callable[[], Settings], apply: Callable[[Settings], Awaitable[None]]
    ) -> None:
        """Apply what the file says whenever that changes, until cancelled.

        `in_force` returns the settings that are. A mistake in the file leaves everything as it is:
        `trouble` and the log say which.
        """
        while True:
            asked, self._is_asked = self._is_asked, False
            # Before it is read: what is written meanwhile is seen at the next look.
            signature = await anyio.to_thread.run_sync(signature_of, self._file)
            if asked or signature != self._seen:
                self._seen = signature
                await self._read(in_force(), apply, asked=asked)
            await anyio.sleep(LOOK_S)

    async def _read(
        self, known: Settings, apply: Callable[[Settings], Awaitable[None]], *, asked: bool
    ) -> None:
        try:
            deployments = await anyio.to_thread.run_sync(
                read_models_file, self._file, known.defaults
            )
            settings = Settings.of(known.service, deployments, known.defaults)
        except SettingsError as error:
            if asked or str(error) != self.trouble:
                _log.error("MODELS_FILE is not in force", reason=str(error))
            self.trouble = str(error)
            return
        if self.trouble or asked or deployments != dict(known.deployments):
            _log.info("MODELS_FILE was read", models=list(deployments))
        self.trouble = ""
        await apply(settings)
