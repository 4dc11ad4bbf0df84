"""Counts more of each request: what the names of other servers show, and ours do not."""

from bisect import bisect_left
from collections.abc import Callable

from service.core.versions import ModelVersion
from service.telemetry.metrics.counts import (
    REQUESTS,
    STEP_SECONDS,
    Histogram,
    ModelCounts,
    VersionCounts,
)
from service.telemetry.metrics.observer import MetricsObserver


class DetailedObserver(MetricsObserver):
    """Counts details besides. It takes the place of the other one where they are shown.

    `unanswered` is for all models: how many requests each one found without an answer.
    """

    def __init__(
        self,
        model: ModelCounts,
        new: Callable[[str], VersionCounts],
        clock: Callable[[], float],
        unanswered: Histogram,
    ) -> None:
        super().__init__(model, new, clock)
        self._steps = model.request_steps
        self._unanswered = unanswered

    def request_detailed(
        self,
        version: ModelVersion,
        duration_s: float,
        decode_s: float | None,
        encode_s: float | None,
        waiting: int,
        unanswered: int,
    ) -> None:
        """Count how long each step took, and how many requests it found."""
        counts = self._counts
        if counts is None or version is not self._version:
            counts = self._of(version)
        sums, steps, predict_s = counts.sums, self._steps, duration_s
        # As `Histogram.note` does it: see `MetricsObserver.request_answered`.
        if decode_s is not None:
            predict_s -= decode_s
            sums.decoded_s += decode_s
            noted = steps.decode
            noted.counts[bisect_left(STEP_SECONDS, decode_s)] += 1
            noted.sum += decode_s
        if encode_s is not None:
            predict_s -= encode_s
            sums.encoded_s += encode_s
            noted = steps.encode
            noted.counts[bisect_left(STEP_SECONDS, encode_s)] += 1
            noted.sum += encode_s
        noted = steps.predict
        noted.counts[bisect_left(STEP_SECONDS, predict_s)] += 1
        noted.sum += predict_s
        noted = sums.waiting
        noted.counts[bisect_left(REQUESTS, waiting)] += 1
        noted.sum += waiting
        noted = self._unanswered
        noted.counts[bisect_left(REQUESTS, unanswered)] += 1
        noted.sum += unanswered

    def batch_ended(
        self, version: ModelVersion, requests: int, rows: int, waited_s: float, duration_s: float
    ) -> None:
        """Count it, and what it took for each of its requests."""
        super().batch_ended(version, requests, rows, waited_s, duration_s)
        # Those of this version: it was just told.
        counts = self._counts
        if counts is not None:
            counts.sums.waited_s += requests * waited_s
            counts.sums.predicted_s += requests * duration_s
