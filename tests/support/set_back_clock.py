"""A wall clock that a test sets back under a running service.

With Debian's libfaketime every process of the service sees the step, as on a machine whose clock an
operator or NTP sets: monotonic clocks go on. Where that is not installed, it is the server
process's own code alone that does (`tests/support/stepping_clock.py`).
"""

import os
import signal
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.support.stepping_clock import STEP_S
from tools import running_service
from tools.running_service import RunningService

_LIBRARY = next(Path("/usr/lib").glob("*/faketime/libfaketimeMT.so.1"), None)


@dataclass
class SetBackClock:
    """A clock that is right until `step_back`; `folder` is for its file."""

    folder: Path

    @property
    def is_everybodys(self) -> bool:
        """Whether registry processes and workers see the step, too."""
        return _LIBRARY is not None

    @property
    def _offset(self) -> Path:
        return self.folder / "offset"

    def start(self, tracking_uri: str, **settings: Any) -> RunningService:
        """Start a service that goes by this clock."""
        if _LIBRARY is None:
            command = ("-m", "tests.support.stepping_clock", "serve")
            return running_service.start(self.folder, tracking_uri, command=command, **settings)
        self._offset.write_text("+0")
        return running_service.start(
            self.folder,
            tracking_uri,
            ld_preload=_LIBRARY,
            faketime_timestamp_file=self._offset,
            # Seconds for which a process may not notice; to look each time would slow it down.
            faketime_cache_duration=1,
            faketime_dont_fake_monotonic=1,
            **settings,
        )

    def step_back(self, service: RunningService) -> None:
        """Set it back by STEP_S; each process notices within about a second."""
        if _LIBRARY is None:
            os.kill(service.process.pid, getattr(signal, "SIGUSR1", 0))
        else:
            self._offset.write_text(f"-{STEP_S:.0f}")
