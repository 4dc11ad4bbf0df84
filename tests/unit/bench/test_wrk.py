import msgspec
import pytest

from bench.wrk import Driven, WrkError, told

LINE = (
    '{"requests":%d,"duration_s":2.0,"mean_ms":400.0,"p50_ms":390.0,"p90_ms":410.0,'
    '"p99_ms":420.0,"max_ms":500.0,"refused":1,"broken":2,"late":3}'
)


def test_the_last_line_is_what_the_script_told() -> None:
    """What wrk prints before it for people is passed over."""
    driven = told(f"Running 2s test\n  1 threads and 4 connections\n{LINE % 5}\n", "")
    assert (driven.requests, driven.p99_ms) == (5, 420.0)


def test_what_failed_is_counted_whatever_the_way() -> None:
    """Refused, broken and late requests are all failed ones."""
    assert told(LINE % 5, "").failed == 6


def test_an_output_without_figures_is_an_error_that_shows_it() -> None:
    """An address that does not listen, for one."""
    with pytest.raises(WrkError, match="unable to connect"):
        told("", "unable to connect to 127.0.0.1:9: Connection refused\n")


@pytest.mark.parametrize(
    ("requests", "rate"),
    [
        (1_000, 500.0),  # counted
        (8, 10.0),  # four clients that wait 0.4 s each; what was under way is not lost
        (0, 0.0),
    ],
)
def test_few_answers_are_rated_by_their_latency(requests: int, rate: float) -> None:
    """Wrk does not count what is under way at the end, which is much of few."""
    driven = msgspec.json.decode(LINE % requests, type=Driven)
    assert driven.rate(4) == pytest.approx(rate)
