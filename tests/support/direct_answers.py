"""Direct answers by every protocol, around whatever a test gives them."""

from collections.abc import Callable
from typing import Any, cast

from service.access.gate import Gate
from service.handlers.compression import Compression
from service.handlers.direct import DirectAnswers
from service.handlers.inference.direct import DirectInference
from service.handlers.predictions.direct import DirectPredictions
from service.handlers.scoring.direct import DirectScoring
from service.serving.turns import Turns
from service.telemetry.metrics.calls import CallCounts


def direct_answers(
    framework: Any,
    dataplane: object,
    find: Callable[[str], Any],
    max_body_bytes: int,
    may_call: Callable[[bytes], bool] = lambda _: True,
    gate: Gate | None = None,
    counts: CallCounts | None = None,
) -> DirectAnswers:
    """Return what answers requests, and passes others on to `framework`."""
    return DirectAnswers(
        framework,
        (DirectPredictions(), DirectScoring(), DirectInference()),
        find,
        cast("Any", dataplane),
        Compression(max_body_bytes),
        max_body_bytes,
        may_call,
        gate or Gate((), wants_keys=False),
        Turns(),
        CallCounts() if counts is None else counts,
    )
