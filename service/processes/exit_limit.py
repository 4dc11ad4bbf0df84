"""An end that is certain: what hangs at a service's end does not keep the process."""

import os
import sys
import threading

import structlog

_MARGIN_S = 15.0
"""For what follows the drain: the end of every child, and what Python does at its exit."""


def end_within(limit_s: float, status: int) -> None:
    """End this process with `status` if it is still there after the limit.

    Without what Python does at exit. The guardian ends the children that are left, and the next
    start removes temporary files.
    """

    def end() -> None:
        structlog.get_logger(__name__).error("the end took too long", limit_s=limit_s)
        sys.stderr.flush()
        os._exit(status)

    timer = threading.Timer(limit_s, end)
    timer.daemon = True
    timer.start()


def limit_of_end(drain_lead_s: float, drain_timeout_s: float) -> float:
    """Return how long an end may take after a signal: both drains, and some time for the rest.

    uvicorn's drain is that of connections; what a request left behind may take the second one.
    """
    return drain_lead_s + 2 * drain_timeout_s + _MARGIN_S
