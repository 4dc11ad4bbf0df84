"""The server process' handle of a worker; what runs in the worker itself is `inside.worker`'s."""

import asyncio
from collections import Counter
from collections.abc import Callable, Mapping
from pathlib import Path

import msgspec

from service.codecs.bounds import CHUNK_BYTES
from service.contracts.contract import Call, Predictions
from service.contracts.fitting import misfit
from service.predictors.engine_counts import FALLBACKS, FAULTS
from service.predictors.report import Report
from service.processes.child import Child
from service.processes.protocol import Counts, Nothing
from service.processes.temp import remove_folder
from service.workers.messages import (
    ActivateReply,
    ActivateRequest,
    BodyChunk,
    RawReply,
    RawRequest,
    TracedCall,
)
from service.workers.occupancy import Occupancy

OTHER_ENGINE = "other"
"""What an engine is called in counts that was not among those that a worker has."""

OnCounts = Callable[[str, Mapping[str, int]], None]
"""Gets a kind of what engines did, FAULTS or FALLBACKS, and how often each of them did."""


class WorkerHandle:
    """A child that has loaded a version, and what it has in flight."""

    def __init__(
        self,
        child: Child,
        folder: Path,
        compiled: str = "",
        *,
        any_rows: bool = False,
        report: Report | None = None,
        on_counts: OnCounts | None = None,
    ) -> None:
        self.child = child
        child.on_counts = self._tell_counts
        self._on_counts = on_counts
        """Gets what engines did since the worker's last reply, where any did."""
        self._report = report
        """What the compiled predictors are that it answers by; None where it does without."""
        self.occupancy = Occupancy()
        self._any_rows = any_rows
        self.folder = folder
        """Where its model's files are; it goes with the worker."""
        self.compiled = compiled
        """The folder of the compiled predictors that it answers by, '' where it does without."""

    @property
    def is_alive(self) -> bool:
        """Whether it can be called; it may be busy, or hang."""
        return self.child.is_alive

    async def predict(self, call: Call, timeout_s: float) -> Predictions:
        """Answer a call. Raise ModelFailedError, or ChildLostError and ChildTimeoutError.

        A child whose answer does not fit together is lost, too.
        """
        op = "predict_traced" if isinstance(call, TracedCall) else "predict"
        predictions = await self.child.call(op, call, Predictions, timeout_s=timeout_s)
        if wrong := misfit(predictions, None if self._any_rows else call.rows):
            raise self.child.give_up_on(f"its answer does not fit together: {wrong}")
        return predictions

    async def activate(self, compiled: str, timeout_s: float) -> ActivateReply:
        """Answer by compiled predictors from now on. Raise as `predict` does."""
        request = ActivateRequest(compiled)
        reply = await self.child.call("activate", request, ActivateReply, timeout_s=timeout_s)
        if reply.report is not None:
            self.compiled, self._report = compiled, reply.report
        return reply

    async def predict_raw(self, request: RawRequest, timeout_s: float) -> RawReply:
        """Decode, answer and encode a body there. Raise as `predict` does, and for a bad body."""
        body, sent = request.body, 0
        loop = asyncio.get_running_loop()
        # One limit for all of it, however many chunks it comes in.
        over_s = loop.time() + timeout_s
        # While a large frame is on its way through the pipe, no other call comes through.
        while request.chunked and len(body) - sent > CHUNK_BYTES:
            await self.child.call(
                *("take_chunk", BodyChunk(), Nothing),
                timeout_s=over_s - loop.time(),
                tail=body[sent : sent + CHUNK_BYTES],
                chunked=True,
            )
            sent += CHUNK_BYTES
        return await self.child.call(
            *("predict_raw", msgspec.structs.replace(request, body=b""), RawReply),
            timeout_s=over_s - loop.time(),
            # As it is, and no copy, where nothing of it was sent.
            tail=body[sent:],
            chunked=request.chunked,
        )

    async def ping(self, timeout_s: float) -> None:
        """Wait for a sign of life. Raise ChildLostError and ChildTimeoutError."""
        await self.child.ping(timeout_s)

    def _tell_counts(self, counts: Counts) -> None:
        """Tell of engines that did not answer in it. A name that its report lacks is `other`.

        A model's code may say anything, and each name that is told may be kept for ever.
        """
        if self._on_counts is None:
            return
        engines = set(self._report.best.values()) if self._report is not None else set()
        for kind in (FAULTS, FALLBACKS):
            told: Counter[str] = Counter()
            for name, count in counts.get(kind, {}).items():
                told[name if name in engines else OTHER_ENGINE] += count
            if told:
                self._on_counts(kind, told)

    async def end(self) -> None:
        """End the process, and wait until nothing is left of it, nor of its files."""
        try:
            await self.child.end()
        finally:
            await remove_folder(self.folder)

    def kill(self) -> None:
        """End the process; a call under way raises ChildLostError."""
        self.child.kill()
