"""One run: the requests that a worker answers by one call, and what is known of it meanwhile."""

import asyncio
from collections.abc import Sequence
from typing import Generic, Protocol, TypeVar

from service.contracts.contract import Call, Predictions
from service.serving.batching.request_queue import QueuedRequest
from service.telemetry.tracing.batch_trace import BatchTrace
from service.workers.members import Member
from service.workers.messages import RawReply, RawRequest
from service.workers.occupancy import Work


class BatchWorker(Member, Protocol):
    """What a run needs of its worker; `workers.handle.WorkerHandle` is the real one."""

    async def predict(self, call: Call, timeout_s: float) -> Predictions:
        """Answer, or raise ModelFailedError, ChildLostError, ChildTimeoutError.

        May be called again before it has answered: then it answers one after the other, and the
        second one's time begins with the first one's answer.
        """
        ...

    async def predict_raw(self, request: RawRequest, timeout_s: float) -> RawReply:
        """Answer an undecoded body, or raise as `predict` and as decoding does.

        Where the request says that it is answered in chunks, `predict` may be called meanwhile.
        """
        ...

    async def ping(self, timeout_s: float) -> None:
        """Wait for a sign of life. Raise ChildLostError, ChildTimeoutError."""
        ...

    def kill(self) -> None:
        """End the worker; a call under way raises ChildLostError."""
        ...


W = TypeVar("W", bound=BatchWorker)


class Run(Generic[W]):
    """Requests that a worker has, as one of the works that `workers.occupancy` knows."""

    __slots__ = (
        "began_s",
        "expected_s",
        "items",
        "soft_timeout",
        "took_s",
        "trace",
        "waits_since_s",
        "work",
        "worker",
    )

    def __init__(
        self, worker: W, items: Sequence[QueuedRequest], work: Work, expected_s: float
    ) -> None:
        self.worker = worker
        self.items = items
        self.work = work
        self.expected_s = expected_s
        """What it will take in its worker, by what was known when it was handed over."""
        self.waits_since_s = items[0].waits_since_s
        """The loop's time since when the first of its requests waits for a worker."""
        self.took_s = 0.0
        """What it took there; 0 until it was answered."""
        self.began_s: float | None = None
        """The loop's time at which its worker began with it; None while it lies in the pipe."""
        self.trace: BatchTrace | None = None
        """Where some of its requests are traced."""
        self.soft_timeout: asyncio.TimerHandle | None = None
        """When it is ended for others that wait; None for a run of several requests."""

    @property
    def rows(self) -> int:
        """The rows of its requests; 0 for a body, which its worker decodes."""
        items = self.items
        return items[0].rows if len(items) == 1 else sum([item.rows for item in items])

    def begin(self) -> None:
        """Note that its worker begins with it now."""
        self.began_s = asyncio.get_running_loop().time()
        for item in self.items:
            item.began_s = self.began_s
        if self.trace is not None:
            self.trace.begin()
