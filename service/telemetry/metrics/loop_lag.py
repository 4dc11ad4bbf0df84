"""Measures by how much the event loop comes late to a timer."""

import asyncio

import anyio

from service.telemetry.metrics.counts import Histogram

_TICK_S = 0.1


async def watch_lag(lag: Histogram) -> None:
    """Count the lag ten times a second, until cancelled."""
    clock = asyncio.get_running_loop().time
    while True:
        due_s = clock() + _TICK_S
        await anyio.sleep(_TICK_S)
        lag.note(max(0.0, clock() - due_s))
