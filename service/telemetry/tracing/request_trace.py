"""One request that is traced, as it goes on: its ids, and when each of its steps began and ended.

It costs as little as notes do. Spans are made of it later, and in another thread
(`telemetry.otlp.spans`).
"""

import time
from contextvars import ContextVar
from random import getrandbits
from typing import Any, Protocol

import msgspec
from structlog.contextvars import STRUCTLOG_KEY_PREFIX

from service.core.versions import ModelVersion

DECODE, QUEUE, PREDICT, ENCODE = "decode", "queue", "predict", "encode"
"""The steps of a request."""

CURRENT: "ContextVar[RequestTrace | None]" = ContextVar("traced_request", default=None)
"""The request that this task answers, where it is traced."""
_TRACE_ID: ContextVar[Any] = ContextVar(f"{STRUCTLOG_KEY_PREFIX}trace_id")
_SPAN_ID: ContextVar[Any] = ContextVar(f"{STRUCTLOG_KEY_PREFIX}span_id")
"""Variables that structlog merges into each line."""


class Step(msgspec.Struct):
    """A step, by the performance counter; `ended_s` is 0 until it ended."""

    name: str
    began_s: float
    ended_s: float = 0.0
    span_id: int = 0
    """Its span's, where others are to know it."""
    attributes: dict[str, Any] = {}
    links: tuple[tuple[int, int], ...] = ()
    """Trace and span ids of steps that the same call of a worker answered."""
    error: str = ""
    """The code of what it met."""


class RequestTrace:
    """A request's trace, from its head to the end of its answer."""

    __slots__ = (
        "attributes",
        "began_ns",
        "began_s",
        "ended_s",
        "error",
        "is_failed",
        "name",
        "parent_id",
        "rows",
        "span_id",
        "state",
        "steps",
        "trace_id",
        "version",
    )

    def __init__(self, trace_id: int, parent_id: int, state: str) -> None:
        self.trace_id = trace_id
        self.span_id = new_span_id()
        self.parent_id = parent_id
        """The caller's span; 0 where it has none."""
        self.state = state
        """The trace's `tracestate`."""
        self.began_ns = time.time_ns()
        """Since the epoch; all else is by the performance counter."""
        self.began_s = time.perf_counter()
        self.ended_s = 0.0
        self.name = ""
        self.attributes: dict[str, Any] = {}
        """What its transport says of it."""
        self.error = ""
        """The code of what it met, '' where it was answered."""
        self.is_failed = False
        """Whether that is the service's fault, as its protocol has it."""
        self.rows = 0
        """How many rows it was answered with."""
        self.version: ModelVersion | None = None
        """What answered, or was to."""
        self.steps: list[Step] = []

    def step(self, name: str) -> None:
        """Note that a step begins, and that the one before ended."""
        now_s = time.perf_counter()
        self.ended(now_s)
        self.steps.append(Step(name, now_s))

    def ended(self, at_s: float = 0.0) -> None:
        """Note that the last step has ended, now unless said, and unless it had."""
        if self.steps and not self.steps[-1].ended_s:
            self.steps[-1].ended_s = at_s or time.perf_counter()

    def answered(self, rows: int) -> None:
        """Note that its answer is made, and how many rows it has."""
        self.ended()
        self.rows = rows

    def failed(self, code: str) -> None:
        """Note what its last step met, and that it ended by that."""
        self.error = code
        self.ended()
        if self.steps:
            self.steps[-1].error = code

    def bind(self) -> None:
        """Make it this task's, and have each line that the task logs name it."""
        CURRENT.set(self)
        bind_to_log(self.trace_id, self.span_id)


def new_span_id() -> int:
    """Return a random id that is not 0."""
    return getrandbits(64) or 1


def bind_to_log(trace_id: int, span_id: int) -> None:
    """Have each line that this task logs from here on name a span."""
    _TRACE_ID.set(f"{trace_id:032x}")
    _SPAN_ID.set(f"{span_id:016x}")


def leave_trace() -> None:
    """Have lines that this task logs from here on name no span."""
    # structlog leaves out what is an Ellipsis.
    _TRACE_ID.set(...)
    _SPAN_ID.set(...)


class RequestTracer(Protocol):
    """Decides which requests are traced, and takes those that were."""

    def begin(self, parent: bytes, state: bytes) -> RequestTrace | None:
        """Return the trace of a request with these headers, None where it is not traced."""
        ...

    def end(self, trace: RequestTrace) -> None:
        """Take a request that has ended. It costs a microsecond, and drops it where too many wait.

        Nothing changes it from here on.
        """
        ...
