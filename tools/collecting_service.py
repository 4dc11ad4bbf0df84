"""`hotswap serve` that tells what its garbage collector finds: `tools.collecting_service`.

What a request leaves is freed when the last reference to it goes. Objects that refer to each other
are not: they hold the request's body until the collector looks for them, and a look at thousands
of them holds up the event loop. Logged is, a few times a second, what it found so far, by types.
"""

import gc
import sys
import threading
import time
from collections import Counter

import structlog

from service.__main__ import main

COLLECTED = "garbage collected"
_EVERY_S = 0.1
_MOST_SHOWN = 90


class Collecting:
    """Counts what the collector finds, by types."""

    def __init__(self) -> None:
        self._found: Counter[str] = Counter()

    def run(self) -> None:
        """Collect for ever, and log what was found so far."""
        log = structlog.get_logger("garbage")
        gc.disable()
        while True:
            time.sleep(_EVERY_S)
            # Once to see it, and once to free it.
            gc.set_debug(gc.DEBUG_SAVEALL)
            gc.collect()
            self._found.update(map(_name_of, gc.garbage))
            gc.garbage.clear()
            gc.set_debug(0)
            gc.collect()
            log.info(COLLECTED, types=dict(self._found.most_common(_MOST_SHOWN)))


def _name_of(found: object) -> str:
    kind = type(found).__name__
    return f"{kind} {found.f_code.co_qualname}" if kind == "frame" else kind  # type: ignore[attr-defined]


if __name__ == "__main__":
    threading.Thread(target=Collecting().run, daemon=True).start()
    sys.argv[1:] = ["serve"]
    main()
