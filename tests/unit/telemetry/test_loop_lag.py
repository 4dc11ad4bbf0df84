"""What holds up the event loop shows in its lag."""

import asyncio
import time

from service.telemetry.metrics.counts import Histogram
from service.telemetry.metrics.families import LAG_SECONDS
from service.telemetry.metrics.loop_lag import watch_lag
from tests.support.waiting import until

HELD_S = 0.3


async def test_what_holds_the_loop_is_measured() -> None:
    """By how late a timer is; a loop that is free counts, too."""
    lag = Histogram(LAG_SECONDS)
    watching = asyncio.create_task(watch_lag(lag))
    await until(lambda: lag.count == 1, 10.0)
    before_s = lag.sum
    time.sleep(HELD_S)  # noqa: ASYNC251 - what is measured
    await until(lambda: lag.count == 2, 10.0)
    watching.cancel()
    # The timer was due a tenth of a second after it was set.
    assert lag.sum - before_s > HELD_S / 2
    assert sum(lag.counts[LAG_SECONDS.index(0.1) + 1 :]) >= 1
