"""How a version's predictions are computed: which engine for which size, and how that is known."""

from collections.abc import Mapping

import msgspec

from service.page.texts import name_of, reason_of
from service.predictors.report import VERIFIED, Outcome, Report
from service.serving.model import LoadedModel

_WORDS = {VERIFIED: "verified"}
_MARKS = {VERIFIED: "good", "refused": "bad", "skipped": "quiet"}


class EngineView(msgspec.Struct, frozen=True):
    """One engine: milliseconds by rows, and for which numbers of rows it is the fastest."""

    name: str
    outcome: str
    mark: str
    reason: str
    ms: Mapping[int, float]
    best_for: tuple[int, ...]


class EnginesView(msgspec.Struct, frozen=True):
    """All engines that were tried, and what is proved of them.

    `timings` are those of the version as the gates timed it: rows and milliseconds.
    """

    state: str
    reason: str
    engines: tuple[EngineView, ...]
    sizes: tuple[int, ...]
    steps: str
    probe_rows: int
    rtol: float
    timings: tuple[tuple[int, float], ...]

    @property
    def left_out(self) -> tuple[EngineView, ...]:
        """Those that were not timed: refused, or not for this model."""
        return tuple(one for one in self.engines if not one.ms)


def engines_of(model: LoadedModel) -> EnginesView:
    """Return how a version is computed."""
    compiling, report = model.compiling, model.compiling.report
    timings = model.proof.timings if model.proof is not None else ()
    reason = compiling.reason or model.pool.activation.dropped
    return EnginesView(
        state=str(compiling.state),
        reason=reason_of(reason),
        engines=tuple(_engine(one, report) for one in report.predictors) if report else (),
        sizes=_sizes(report) if report else (),
        steps=name_of(report.steps) if report else "",
        probe_rows=report.probe_rows if report else 0,
        rtol=report.rtol if report else 0.0,
        timings=tuple((timing.rows, timing.ms) for timing in timings),
    )


def _engine(outcome: Outcome, report: Report) -> EngineView:
    word = str(outcome.outcome)
    return EngineView(
        name=name_of(outcome.name),
        outcome=_WORDS.get(word, name_of(word)),
        mark=_MARKS.get(word, "quiet"),
        reason=reason_of(outcome.reason),
        ms=outcome.ms,
        best_for=tuple(sorted(rows for rows, name in report.best.items() if name == outcome.name)),
    )


def _sizes(report: Report) -> tuple[int, ...]:
    return tuple(sorted({rows for one in report.predictors for rows in one.ms} | set(report.best)))
