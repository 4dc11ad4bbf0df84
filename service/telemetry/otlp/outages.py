"""What the exporters' library logs, as far as it is worth a line: one for each outage."""

import logging
from contextlib import AbstractContextManager

from service.telemetry.filtered import filtered


class OnePerOutage(logging.Filter):
    """Lets the first warning through, and then nothing until an export has succeeded."""

    def __init__(self, logger: str) -> None:
        super().__init__()
        self._logger = logging.getLogger(logger)
        self._is_told = False

    def filter(self, record: logging.LogRecord) -> bool:
        """Tell whether a line is logged."""
        if record.levelno < logging.WARNING:
            return True
        is_first, self._is_told = not self._is_told, True
        return is_first

    def succeeded(self) -> None:
        """Note that the outage is over, if there was one."""
        if self._is_told:
            self._is_told = False
            self._logger.info("exported again")

    def applied(self) -> AbstractContextManager[None]:
        """Filter what is logged meanwhile."""
        return filtered(self._logger.name, self)
