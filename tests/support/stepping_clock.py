"""`hotswap serve` whose wall clock SIGUSR1 sets back: `python -m tests.support.stepping_clock`.

Of the server process alone, and as its Python code sees it: monotonic clocks go on, as they do
where an operator or NTP sets a real clock.
"""

import signal
import sys
import time
from datetime import datetime, timedelta, tzinfo

from service.__main__ import main

STEP_S = 3600.0


def _step_back(*_: object) -> None:
    """Set the clock back, for what reads it by `time.time` and by `datetime.now`."""
    real_time = time.time
    time.time = lambda: real_time() - STEP_S

    class Stepped(datetime):
        @classmethod
        def now(cls, tz: tzinfo | None = None) -> datetime:  # type: ignore[override]
            return datetime.now(tz) - timedelta(seconds=STEP_S)

    for name, module in list(sys.modules.items()):
        if name.startswith("service.") and getattr(module, "datetime", None) is datetime:
            module.datetime = Stepped  # type: ignore[attr-defined]


if __name__ == "__main__":
    signal.signal(signal.SIGUSR1, _step_back)
    main()
