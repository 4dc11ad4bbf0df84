"""Which bodies may have a worker while small requests come, and which of them go in chunks.

A body that a worker decodes holds it for as long as thousands of rows take. While small requests
come, one worker is left to them; where there is no other, it answers a body in chunks, and calls
between them. Where there is another, and calls are short, the body goes in chunks all the same:
between them its worker lets others have the CPU.
"""

import asyncio
import math

from service.codecs.catalog import SCORING
from service.serving.batching.admission import Workers
from service.serving.batching.batch_cost import BatchCost
from service.serving.batching.request_queue import QueuedRequest
from service.workers.messages import RawRequest

SHORT_RUN_S = 0.005
"""Only runs that typically take less than this are pipelined, or have a body in chunks beside them.

With longer ones another worker is free sooner than the pipe pays, and a body in chunks would take
several times as long as in one go.
"""
_SMALL_REQUESTS_WITHIN_S = 1.0
"""The longer this is, the longer a worker is left to small requests after the last of them came."""


class BodyPolicy:
    """Decides on bodies by what else came of late, and by how many are being answered."""

    def __init__(self, workers: Workers, cost: BatchCost) -> None:
        self._workers = workers
        self._cost = cost
        self.last_call_s = -math.inf
        """The loop's time at which the last small request came."""

    def may_go(self) -> bool:
        """Tell whether a body may have a worker: one is left to small requests, if any come."""
        workers = self._workers
        return workers.bodies < max(1, workers.count - 1) or not self._has_small_requests()

    def goes_chunked(self, body: QueuedRequest) -> bool:
        """Tell whether a body is answered in chunks, for which it takes longer.

        Only where small requests come that have no other worker or are short enough to gain by it,
        and not for one that is run again: if it cost the worker, another would share the blame.
        What MLflow's own code answers has no chunks.
        """
        if isinstance(body.payload, RawRequest) and body.payload.codec in SCORING:
            return False
        is_last = self._workers.bodies + 1 >= self._workers.count
        pays = is_last or self._cost.typical_s < SHORT_RUN_S
        return pays and not body.again and self._has_small_requests()

    def _has_small_requests(self) -> bool:
        """Tell whether any has come of late."""
        since_s = asyncio.get_running_loop().time() - _SMALL_REQUESTS_WITHIN_S
        return self.last_call_s >= since_s
