"""Which requests are traced, by what the sampler and the caller say."""

import pytest
from opentelemetry.sdk.trace.sampling import (
    ALWAYS_OFF,
    ALWAYS_ON,
    DEFAULT_OFF,
    DEFAULT_ON,
    ParentBased,
    Sampler,
)

from service.core.trace_context import traceparent
from service.telemetry.otlp.sampling import SampledRequests
from service.telemetry.tracing.request_trace import RequestTrace

TRACE, SPAN = 0x4BF92F3577B34DA6A3CE929D0E0E4736, 0x00F067AA0BA902B7
SAMPLED = traceparent(TRACE, SPAN).encode()
UNSAMPLED = SAMPLED[:-1] + b"0"


@pytest.mark.parametrize(
    ("sampler", "expected"),
    [
        (DEFAULT_ON, [True, True, False]),
        (DEFAULT_OFF, [False, True, False]),
        (ALWAYS_ON, [True, True, True]),
        (ALWAYS_OFF, [False, False, False]),
        (ParentBased(ALWAYS_OFF, remote_parent_sampled=ALWAYS_OFF), [False, False, False]),
        (ParentBased(ALWAYS_OFF, remote_parent_not_sampled=ALWAYS_ON), [False, True, True]),
    ],
)
def test_the_sampler_decides(sampler: Sampler, expected: list[bool]) -> None:
    """For a request without a parent, and below one that is sampled or not."""
    requests = SampledRequests(sampler, lambda _: None)
    headers = (b"", SAMPLED, UNSAMPLED)
    found = [requests.begin(header, b"") is not None for header in headers]
    assert found == expected


@pytest.mark.parametrize("sampler", [DEFAULT_ON, ALWAYS_ON])
def test_a_trace_goes_on_with_its_callers_state(sampler: Sampler) -> None:
    """One that is malformed or too long counts as absent, and so does such a parent."""
    requests = SampledRequests(sampler, lambda _: None)

    def begun(parent: bytes, state: bytes) -> RequestTrace:
        trace = requests.begin(parent, state)
        assert trace is not None
        return trace

    trace = begun(SAMPLED, b"a=1,b=2")
    assert (trace.trace_id, trace.parent_id, trace.state) == (TRACE, SPAN, "a=1,b=2")
    assert begun(SAMPLED, b"a=" + b"1" * 600).state == ""
    assert begun(SAMPLED, b"\xff\x00").state == ""
    alone = begun(b"00-nonsense", b"a=1")
    assert (alone.parent_id, alone.state) == (0, "")
    assert alone.trace_id not in (0, TRACE)
