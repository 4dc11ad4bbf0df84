"""A trace for each promotion: a span for each of its steps, and for each gate's verdict."""

import time
from typing import Any

import msgspec
from opentelemetry.context import Context
from opentelemetry.trace import Span, Tracer, set_span_in_context
from opentelemetry.trace.status import Status, StatusCode

from service.core.events import PromotionOutcome, Trigger
from service.core.states import State
from service.core.verdicts import Outcome, Verdict
from service.core.versions import ModelVersion
from service.telemetry.observer import NullObserver
from service.telemetry.otlp.spans import MODEL_NAME, MODEL_VERSION
from service.telemetry.tracing.request_trace import bind_to_log

_NS = 1_000_000_000
_FETCH, _BUILD, _LOAD, _PROVE, _ROLLBACK = "fetch", "build", "load", "prove", "rollback"
_FINE = frozenset({PromotionOutcome.SERVING, PromotionOutcome.SUPERSEDED})
"""A candidate that nobody wants any more is no error."""


class _Promotion(msgspec.Struct):
    """One promotion's spans. The root ends once the version serves; what follows is below it."""

    root: Span
    began_ns: int
    fetch_began_ns: int = 0
    """0 where no fetch is under way."""
    build: Span | None = None
    """While its environment is being built."""
    prove: Span | None = None
    """While the version is proved."""

    def end_build(self, reason: str = "") -> None:
        """Note that no environment is being built any more, and why it was not."""
        _end(self.build, reason)
        self.build = None

    def end_prove(self, reason: str = "") -> None:
        """Note that the version is not proved any more, and why it was refused."""
        _end(self.prove, reason)
        self.prove = None


class PromotionTraces(NullObserver):
    """Traces what becomes of a deployment's promotions."""

    def __init__(self, model: str, tracer: Tracer) -> None:
        self._model = model
        self._tracer = tracer
        self._promotions: dict[ModelVersion, _Promotion] = {}
        """The latest of each version that is not unloaded."""

    def promotion_began(self, version: ModelVersion, trigger: Trigger) -> None:
        """Begin its trace; each line that its task logs names it."""
        attributes = {
            "hotswap.model": self._model,
            MODEL_NAME: version.name,
            MODEL_VERSION: version.version,
            "hotswap.trigger": str(trigger),
        }
        began_ns = time.time_ns()
        # Whatever request is answered meanwhile has nothing to do with it.
        root = self._tracer.start_span(
            "promotion", Context(), attributes=attributes, start_time=began_ns
        )
        context = root.get_span_context()
        if context.trace_flags.sampled:
            bind_to_log(context.trace_id, context.span_id)
        self._promotions[version] = _Promotion(root, began_ns)

    def state_entered(self, version: ModelVersion, state: State, reason: str) -> None:
        """Note what of it begins or ends."""
        promotion = self._promotions.get(version)
        if promotion is None:
            return
        match state:
            case State.FETCHING:
                promotion.fetch_began_ns = time.time_ns()
            case State.BUILDING:
                promotion.build = self._tracer.start_span(
                    _BUILD, set_span_in_context(promotion.root, Context())
                )
            case State.LOADING:
                promotion.end_build()
            case State.PROVING:
                promotion.prove = self._tracer.start_span(
                    _PROVE, set_span_in_context(promotion.root, Context())
                )
            case State.READY:
                promotion.end_prove()
            case State.FAILED:
                promotion.end_build(reason)
                promotion.end_prove(reason)
                if promotion.fetch_began_ns:
                    self._note(promotion, _FETCH, promotion.fetch_began_ns, {}, reason)
            case State.UNLOADED:
                del self._promotions[version]

    def step_ended(self, version: ModelVersion, step: str, duration_s: float) -> None:
        """Note a step. The verdict on the load has said what there is to say of it."""
        promotion = self._promotions.get(version)
        # An environment that was there already has taken no time.
        if promotion is None or step in {_LOAD, _BUILD}:
            return
        if step == _FETCH:
            promotion.fetch_began_ns = 0
        self._note(promotion, step, time.time_ns() - int(duration_s * _NS), {}, "")

    def gate_ended(self, version: ModelVersion, verdict: Verdict) -> None:
        """Note a verdict, and why it fell so."""
        promotion = self._promotions.get(version)
        if promotion is None:
            return
        attributes = {
            "hotswap.gate": verdict.gate,
            "hotswap.verdict": str(verdict.outcome),
            "hotswap.reason": verdict.reason,
        }
        name = _LOAD if verdict.gate == _LOAD else f"gate {verdict.gate}"
        refusal = verdict.reason if verdict.outcome is Outcome.REFUSE else ""
        began_ns = time.time_ns() - int(verdict.duration_s * _NS)
        self._note(promotion, name, began_ns, attributes, refusal)

    def promotion_ended(
        self, version: ModelVersion, outcome: PromotionOutcome, reason: str
    ) -> None:
        """End its root span, or note that the version is rolled back."""
        promotion = self._promotions.get(version)
        if promotion is None:
            return
        attributes = {"hotswap.outcome": str(outcome), "hotswap.reason": reason}
        if outcome is PromotionOutcome.ROLLED_BACK:
            self._note(promotion, _ROLLBACK, time.time_ns(), attributes, reason)
            return
        promotion.root.set_attributes(attributes)
        if outcome not in _FINE:
            promotion.root.set_status(Status(StatusCode.ERROR, reason))
        promotion.root.end()
        if outcome is not PromotionOutcome.SERVING:
            del self._promotions[version]

    def _note(
        self,
        promotion: _Promotion,
        name: str,
        began_ns: int,
        attributes: dict[str, Any],
        error: str,
    ) -> None:
        """Make the span of what has ended now, and of what it met."""
        parent = promotion.prove or promotion.root
        span = self._tracer.start_span(
            name,
            set_span_in_context(parent, Context()),
            attributes=attributes,
            # A duration by another clock may reach a little too far back.
            start_time=max(began_ns, promotion.began_ns),
        )
        if error:
            span.set_status(Status(StatusCode.ERROR, error))
        span.end()


def _end(span: Span | None, reason: str) -> None:
    if span is not None:
        if reason:
            span.set_status(Status(StatusCode.ERROR, reason))
        span.end()
