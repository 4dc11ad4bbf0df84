"""The spans of promotions, by what their observer is told."""

from collections.abc import Iterator
from contextlib import contextmanager

import pytest
import structlog
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.sdk.trace.sampling import ALWAYS_OFF, ALWAYS_ON, Sampler

from service.core.errors import EnvironmentNotBuiltError, FetchFailedError
from service.core.events import Trigger
from service.telemetry.otlp.promotions import PromotionTraces
from service.telemetry.tracing.request_trace import leave_trace
from service.watcher.building import BuildStep
from service.watcher.probation import ProbationSettings
from tests.support.fake_environments import OWN, BuildFate, FakeEnvironments
from tests.support.fake_models import Fate, fail
from tests.support.fake_source import a_version
from tests.support.fake_watcher import a_watcher

ON_PROBATION = ProbationSettings(duration_s=120, max_error_rate=0.01, keep_warm=True)


class Traces:
    """An observer, and the spans that it has made so far."""

    def __init__(self, sampler: Sampler) -> None:
        self._exporter = InMemorySpanExporter()
        provider = TracerProvider(sampler, shutdown_on_exit=False)
        provider.add_span_processor(SimpleSpanProcessor(self._exporter))
        self.observer = PromotionTraces("m", provider.get_tracer("t"))

    def spans(self, version: int) -> dict[str, ReadableSpan]:
        """Return the spans of a version's last promotion by name."""
        found = self._exporter.get_finished_spans()
        number = str(version)
        roots = [s for s in found if (s.attributes or {}).get("mlflow.model.version") == number]
        return {s.name: s for s in found if s.context.trace_id == roots[-1].context.trace_id}


@contextmanager
def logged_fields() -> Iterator[dict[str, object]]:
    """Give what structlog would add to a line of this task when the block ends."""
    fields: dict[str, object] = {}
    yield fields
    fields.update(structlog.contextvars.get_contextvars())


@pytest.fixture
def traces() -> Traces:
    """Trace every promotion."""
    return Traces(ALWAYS_ON)


def is_error(span: ReadableSpan) -> bool:
    """Tell whether its status says so."""
    return not (span.status.is_ok or span.status.is_unset)


async def test_a_fetch_that_fails_is_an_error_of_the_promotion(traces: Traces) -> None:
    """Nothing else was done."""
    async with a_watcher(observer=traces.observer) as watcher:
        watcher.fates.by_number["1"] = Fate(fetch_error=FetchFailedError("disk full"))
        with pytest.raises(FetchFailedError):
            await watcher.rollout.run(a_version(1), Trigger.POLL)
    spans = traces.spans(1)
    assert set(spans) == {"promotion", "fetch"}
    assert is_error(spans["promotion"])
    assert is_error(spans["fetch"])
    assert (spans["promotion"].attributes or {})["hotswap.outcome"] == "failed"
    assert traces.observer._promotions == {}


async def test_a_rollback_is_an_error_below_the_promotion(traces: Traces) -> None:
    """Whose own span has ended when the version began to serve."""
    async with a_watcher(observer=traces.observer, probation=ON_PROBATION) as watcher:
        for number in (1, 2):
            await watcher.rollout.run(a_version(number), Trigger.POLL)
        for count in range(100):
            if watcher.serving == "2":
                assert watcher.routes.current is not None
                fail(watcher.routes.current, count)
                await watcher.pause(0.105)
        assert watcher.serving == "1"
        await watcher.until(lambda: a_version(2) not in traces.observer._promotions)
    spans = traces.spans(2)
    root = spans["promotion"]
    assert not is_error(root)
    assert is_error(spans["rollback"])
    assert {"settle", "swap", "prove"} <= set(spans)
    for name in ("rollback", "settle", "swap"):
        parent = spans[name].parent
        assert parent is not None
        assert parent.span_id == root.context.span_id


async def test_lines_of_a_promotion_name_its_trace_where_it_is_sampled() -> None:
    """Until a task leaves it."""
    told = Trigger.POLL
    with logged_fields() as fields:
        Traces(ALWAYS_OFF).observer.promotion_began(a_version(1), told)
    assert "trace_id" not in fields
    with logged_fields() as fields:
        Traces(ALWAYS_ON).observer.promotion_began(a_version(1), told)
    assert {"trace_id", "span_id"} <= set(fields)
    leave_trace()
    rendered = structlog.contextvars.merge_contextvars(None, "", {})
    assert "trace_id" not in rendered


async def test_a_build_has_a_span_of_its_own(traces: Traces) -> None:
    """As long as an environment is being built; one that is there has none."""
    environments = FakeEnvironments()
    environments.by_number["2"] = BuildFate(errors=[EnvironmentNotBuiltError("it is away")])
    environments.by_number["3"] = BuildFate(was_there=True)
    step = BuildStep(environments, OWN)
    async with a_watcher(observer=traces.observer, build=step) as watcher:
        await watcher.rollout.run(a_version(1), Trigger.POLL)
        with pytest.raises(EnvironmentNotBuiltError):
            await watcher.rollout.run(a_version(2), Trigger.POLL)
        await watcher.rollout.run(a_version(3), Trigger.POLL)
    assert not is_error(traces.spans(1)["build"])
    assert is_error(traces.spans(2)["build"])
    assert "build" not in traces.spans(3)
    assert "gate environment" in traces.spans(3)
