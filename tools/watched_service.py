"""`hotswap serve` with a watch on its event loop: `python -m tools.watched_service`.

Every call that can block, made on the loop's thread, raises (and so shows in the log and in the
answer). Logged are how long a thread may keep the loop from going on, and the worst time that it
took to come round, as it grows.
"""

import asyncio
import sys
import time
from typing import Any

import structlog
from blockbuster import BlockBuster

from service import server
from service.__main__ import main
from service.app import create_app

BLOCKED = "BlockingError"
ONLY_BEAT = "only-beat"
"""The argument that forbids nothing, which would cost time of its own; for measuring."""
WORST_GAP = "worst heartbeat gap"
SWITCH_INTERVAL = "switch interval"
_BEAT_S = 0.005


def _forbid_blocking() -> None:
    """Have every blocking call on an event loop raise, except for those that can't block here."""
    blocker = BlockBuster()
    # What has arrived from a pipe that the loop was told is readable.
    blocker.functions["os.read"].can_block_in("service/processes/pipe.py", {"_read_arrived"})
    # A line of log, into the standard error that the operator gave us.
    for name in ("os.write", "io.TextIOWrapper.write", "io.BufferedWriter.write"):
        blocker.functions[name].can_block_in("logging/__init__.py", {"emit", "flush"})
    # The same, once its reader was seen to have room.
    blocker.functions["os.write"].can_block_in("service/telemetry/line_writer.py", {"_write_now"})
    blocker.activate()


async def _beat() -> None:
    log = structlog.get_logger("heartbeat")
    log.info(SWITCH_INTERVAL, seconds=sys.getswitchinterval())
    worst_s = 0.0
    while True:
        began = time.monotonic()
        await asyncio.sleep(_BEAT_S)
        gap_s = time.monotonic() - began - _BEAT_S
        if gap_s > worst_s:
            worst_s = gap_s
            log.info(WORST_GAP, gap_ms=round(gap_s * 1000, 2))


def _with_heartbeat(create: Any) -> Any:
    def create_watched(*arguments: Any) -> Any:
        app = create(*arguments)
        tasks = []

        async def begin() -> None:
            tasks.append(asyncio.create_task(_beat()))

        async def end() -> None:
            tasks.pop().cancel()

        app.on_startup.append(begin)
        app.on_shutdown.append(end)
        return app

    return create_watched


if __name__ == "__main__":
    if ONLY_BEAT not in sys.argv:
        _forbid_blocking()
    vars(server)["create_app"] = _with_heartbeat(create_app)
    sys.argv[1:] = ["serve"]
    main()
