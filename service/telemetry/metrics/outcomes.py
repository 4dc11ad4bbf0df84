"""Whose fault it is that a request was not answered, by the error's code."""

from typing import get_args

from service.core.overload import Overload

OK = "ok"
INVALID = "invalid"
"""The caller's: what it sent can't be answered."""
REFUSED = "refused"
"""Nobody's: there is too much to do, too little time, or nothing that could answer."""
FAILED = "failed"
"""The model's, or its process's."""
GONE = "gone"
"""The caller hung up."""
INTERNAL = "internal"
"""This service's."""

NOT_OK = (INVALID, REFUSED, FAILED, GONE, INTERNAL)

_BY_CODE = {
    "contract-violation": INVALID,
    "malformed-body": INVALID,
    "malformed-header": INVALID,
    "body-too-large": INVALID,
    "answer-too-large": INVALID,
    "scoring-refused": INVALID,
    "unsupported-content-type": INVALID,
    "not-acceptable": INVALID,
    "unknown-version": INVALID,
    "overloaded": REFUSED,
    "queue-timeout": REFUSED,
    "deadline-exceeded": REFUSED,
    "shutting-down": REFUSED,
    "no-version": REFUSED,
    "model-failed": FAILED,
    "model-answer-unwritable": FAILED,
    "non-finite-prediction": FAILED,
    "worker-lost": FAILED,
    "worker-timeout": FAILED,
    "request-timeout": FAILED,
    "child-raised": FAILED,
    "caller-gone": GONE,
}
_NOT_A_VERSIONS = {"streams", "overloaded", "no-version"}
"""Reasons that are never those of a request to a version."""


def _codes_of(outcome: str) -> tuple[str, ...]:
    return tuple(code for code, its in _BY_CODE.items() if its == outcome)


REFUSALS = tuple(
    reason for reason in (*get_args(Overload), *_codes_of(REFUSED)) if reason not in _NOT_A_VERSIONS
)
"""Why requests that a version was to answer are refused. Each is counted from 0 on."""
CODES_OF_FAULTS = (*_codes_of(FAILED), "internal")
"""The codes of the outcomes FAILED and INTERNAL. Each is counted from 0 on."""


def outcome_of(code: str) -> str:
    """Return the outcome of a request that met an error; INTERNAL for one that none should meet."""
    return _BY_CODE.get(code, INTERNAL)
