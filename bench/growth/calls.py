"""One client's calls for a while."""

import time
from statistics import median

from bench import asking
from bench.dialects import Dialect

_FOR_S = 1.0
_FEWEST = 5
_MOST = 200


def p50_ms(url: str, dialect: Dialect, body: bytes) -> float:
    """Return the median milliseconds of calls for about a second, five at least."""
    (first,) = asking.timed(url, dialect, body, 1)
    calls = int(min(_MOST, max(_FEWEST, _FOR_S * 1000 / max(first, 0.1))))
    return median(asking.timed(url, dialect, body, calls))


def p50_ms_of(call: object, *arguments: object) -> float:
    """Return the median milliseconds of a function's calls."""
    assert callable(call)  # noqa: S101 - for mypy: MLflow is untyped
    took: list[float] = []
    until = time.monotonic() + _FOR_S
    while len(took) < _FEWEST or (time.monotonic() < until and len(took) < _MOST):
        began = time.perf_counter()
        call(*arguments)
        took.append((time.perf_counter() - began) * 1000)
    return median(took)
