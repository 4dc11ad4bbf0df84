"""The spans that are made of a request."""

import pytest
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.util.instrumentation import InstrumentationScope

from service.telemetry.otlp.spans import RequestSpans
from service.telemetry.tracing.request_trace import RequestTrace

SPANS = RequestSpans(Resource({}), InstrumentationScope("s"))


@pytest.mark.parametrize(
    ("path", "gone"),
    [("/x/password=hunter2", "hunter2"), ("/" + "x" * 5_000, "x" * 201), ("/\x1b[31m", "\x1b")],
)
def test_a_path_is_cut_and_has_no_credential(path: str, gone: str) -> None:
    """It is whatever a caller wrote."""
    trace = RequestTrace(1, 0, "")
    trace.attributes = {"url.path": path}
    (span,) = SPANS.of(trace)
    shown = (span.attributes or {})["url.path"]
    assert isinstance(shown, str)
    assert shown
    assert gone not in shown


def test_a_step_that_nobody_ended_ends_with_its_request() -> None:
    """As that of a caller that hung up."""
    trace = RequestTrace(1, 0, "")
    trace.step("queue")
    trace.ended_s = trace.began_s + 2
    own, step = SPANS.of(trace)
    assert own.end_time == step.end_time
    assert own.end_time is not None
    assert own.end_time - trace.began_ns == pytest.approx(2e9)
