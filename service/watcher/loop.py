"""Pass after pass, for ever: at each poll, and whenever something wakes the watcher."""

import anyio
import structlog

from service.control.desired import DesiredState
from service.control.state import ControlState
from service.registry.poll_times import Polls
from service.watcher.reconciler import Reconciler

_SHORTEST_DELAY_S = 0.1
_LONGEST_BACKOFF_S = 30.0
_MOST_DOUBLINGS = 10

_log = structlog.get_logger("watcher")


async def watch(
    reconciler: Reconciler, desired: DesiredState, state: ControlState, polls: Polls
) -> None:
    """Reconcile until cancelled. Nothing that a pass raises ends this."""
    while True:
        try:
            await reconciler.run_once()
        except Exception:  # noqa: BLE001 - a crash barrier: the watcher cannot die
            state.pass_failed()
            doublings = min(state.passes_failed, _MOST_DOUBLINGS)
            delay_s = min(polls.interval_s * 2**doublings, _LONGEST_BACKOFF_S)
            _log.exception("watcher pass failed", retry_in_s=delay_s)
        else:
            state.pass_ended()
            delay_s = polls.delay_s(anyio.current_time())
            delay_s = min(delay_s, max(_SHORTEST_DELAY_S, state.retry_in_s))
        with anyio.move_on_after(delay_s):
            await desired.woken()
