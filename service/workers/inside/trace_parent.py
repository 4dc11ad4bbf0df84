"""Have spans that a model's own code makes join the trace of the request that it answers."""

from collections.abc import Generator, Iterator
from contextlib import contextmanager, suppress
from typing import Any, TypeVar

from service.core.trace_context import TraceContext

T = TypeVar("T")


@contextmanager
def as_parent(trace: TraceContext | None) -> Iterator[None]:
    """Make a span of the server process's the current one meanwhile, where one is given.

    Only if OpenTelemetry's API can be imported here. It exports nothing: whether the model's spans
    go anywhere is for the model to say.
    """
    token = _attached(trace) if trace is not None else None
    try:
        yield
    finally:
        if token is not None:
            # A model may have changed what is current.
            with suppress(Exception):
                _context().detach(token)


def stepwise_under(
    trace: TraceContext | None, steps: Generator[None, None, T]
) -> Generator[None, None, T]:
    """Do so in each step of what gives way to others between; return what it does."""
    if trace is None:
        return (yield from steps)
    while True:
        with as_parent(trace):
            try:
                next(steps)
            except StopIteration as end:
                result: T = end.value
                return result
        yield


def _attached(trace: TraceContext) -> Any:
    """Make it current; return what undoes that, None where that can't be done."""
    # Whatever the environment has under these names, a request is worth more than its trace.
    with suppress(Exception):
        from opentelemetry.trace.propagation.tracecontext import (  # noqa: PLC0415 - where traced
            TraceContextTextMapPropagator,
        )

        carrier = {"traceparent": trace.parent, "tracestate": trace.state}
        return _context().attach(TraceContextTextMapPropagator().extract(carrier))
    return None


def _context() -> Any:
    from opentelemetry import context  # noqa: PLC0415 - an extra, and only where a call is traced

    return context
