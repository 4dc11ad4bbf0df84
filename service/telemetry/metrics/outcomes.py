"""Whose fault it is that a request was not answered, by the error's code."""

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


def outcome_of(code: str) -> str:
    """Return the outcome of a request that met an error; INTERNAL for one that none should meet."""
    return _BY_CODE.get(code, INTERNAL)
