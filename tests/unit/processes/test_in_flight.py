"""The time of calls to a child, as the server process measures it."""

import asyncio
import time

from service.processes.in_flight import InFlightCalls, SentCall


def a_call(timeout_s: float) -> SentCall:
    """Return a call that nobody answers by itself."""
    return SentCall(1, "predict", timeout_s, asyncio.get_running_loop().create_future())


async def test_a_process_that_stood_still_reads_its_answers_before_it_calls_them_late() -> None:
    """What really is late is so after the time that is left to catch up."""
    late: list[SentCall] = []
    calls = InFlightCalls(1, late.append, stood_still_s=0.05)
    call = a_call(0.02)
    calls.add(call)
    # The loop stands still, as it does while its process is stopped.
    time.sleep(0.1)  # noqa: ASYNC251
    await asyncio.sleep(0)
    assert late == []
    await asyncio.sleep(0.2)
    assert late == [call]
