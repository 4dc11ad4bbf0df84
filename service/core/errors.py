"""Everything that can go wrong in this service, in its own words.

One class for each thing that a caller would treat differently; `code` is stable and becomes the
problem type at the HTTP edge, which alone knows of status codes.
"""

import asyncio
from collections.abc import Sequence
from typing import Any, ClassVar

from service.core.overload import Overload
from service.core.text import bounded, presentable
from service.core.verdicts import Verdict
from service.core.versions import ModelVersion

_PLACE_CHARACTERS = 400
_NAME_CHARACTERS = 200


class ServiceError(Exception):
    """The base of all; its message is a sentence that a caller may see."""

    code: ClassVar[str] = "internal"

    answered_by: ModelVersion | None = None
    """The version that was to answer the request which failed, where one was."""
    is_ours: ClassVar[bool] = False
    """Whether its sentence is made of our own words and numbers alone, and shown as it is."""
    is_observed = False
    """Whether a deployment's observer was told of the request which met it."""

    def extras(self) -> dict[str, Any]:
        """Return what belongs into a machine-readable report of this error, JSON-ready."""
        return {}


class ContractViolationError(ServiceError):
    """A request that breaks the contract: where, what was wanted, what came.

    `path` is relative to the body (`instances[3].total_files`, '' for the body itself), `row` the
    index within `instances` where there is one.
    """

    code = "contract-violation"

    def __init__(self, path: str, row: int | None, expected: str, got: str) -> None:
        # Callers choose the names in a path, and models those in what is expected.
        path, expected, got = (bounded(text, _PLACE_CHARACTERS) for text in (path, expected, got))
        where = path or "the body"
        super().__init__(f"{where}: expected {expected}, got {got}")
        self.path = path
        self.row = row
        self.expected = expected
        self.got = got

    def extras(self) -> dict[str, Any]:
        """Return the fault's place, what was wanted and what came."""
        return {"path": self.path, "row": self.row, "expected": self.expected, "got": self.got}


class MalformedBodyError(ServiceError):
    """A body that is no JSON: syntax, encoding, or nesting beyond what can be read."""

    code = "malformed-body"


class MalformedHeaderError(ServiceError):
    """A header that says nothing that can be understood, where it has to."""

    code = "malformed-header"


class BodyTooLargeError(ServiceError):
    """A body over MAX_BODY_BYTES."""

    code = "body-too-large"


class AnswerTooLargeError(ServiceError):
    """An answer that would be too large for the body that asks for it."""

    code = "answer-too-large"


class ScoringError(ServiceError):
    """A body that MLflow's own code refused, which names the kind of fault by an `error_code`.

    `status` is the HTTP status that MLflow's own server answers with it.
    """

    code = "scoring-refused"

    def __init__(self, message: str, error_code: str, status: int) -> None:
        super().__init__(message)
        self.error_code = error_code
        self.status = status

    def extras(self) -> dict[str, Any]:
        """Return MLflow's name of the fault, and its status."""
        return {"error_code": self.error_code, "status": self.status}


class UnsupportedContentTypeError(ServiceError):
    """A body of a kind that is not read here."""

    code = "unsupported-content-type"


class NotAcceptableError(ServiceError):
    """A caller that accepts no kind of answer that can be given."""

    code = "not-acceptable"


class UnauthorizedError(ServiceError):
    """A call without the key that it wants."""

    code = "unauthorized"


class UnknownKeyError(UnauthorizedError):
    """A call with credentials that nobody knows."""


class ForbiddenError(ServiceError):
    """A call that a web page may have made: under a name that is not ours, or from elsewhere."""

    code = "forbidden"


class PermissionDeniedError(ServiceError):
    """A call by a known key that has no scope for it, such as `scope`; '': not for the model."""

    code = "permission-denied"

    def __init__(self, message: str, scope: str = "") -> None:
        super().__init__(message)
        self.scope = scope


class UnsignedWebhookError(ServiceError):
    """A webhook's delivery that the sender can't have signed with our secret."""

    code = "webhook-unsigned"


class SpentWebhookError(ServiceError):
    """A delivery that was signed for us, and is stale or was accepted before."""

    code = "webhook-spent"


class UnknownModelError(ServiceError):
    """No model is served under the name that was asked for; it has the names that there are."""

    code = "unknown-model"

    def __init__(self, name: str, names: Sequence[str]) -> None:
        super().__init__(f"no model is served as {presentable(name, _NAME_CHARACTERS)!r}")
        self.names = names

    def extras(self) -> dict[str, Any]:
        """Return the names that there are."""
        return {"models": list(self.names)}


class NoDefaultModelError(UnknownModelError):
    """No model was named, and several are served of which none is the default."""

    code = "no-default-model"

    def __init__(self, names: Sequence[str]) -> None:
        super().__init__("", names)
        self.args = (
            "several models are served: name one by /models/NAME, or set DEFAULT_MODEL to one",
        )


class NoVersionError(ServiceError):
    """No version can answer."""

    code = "no-version"


class ModelFailedError(ServiceError):
    """The model raised; `detail` is its traceback, for the log alone."""

    code = "model-failed"

    def __init__(self, message: str, detail: str = "") -> None:
        super().__init__(message)
        self.detail = detail


class UnwritableAnswerError(ModelFailedError):
    """The model answered what the protocol has no form for."""

    code = "model-answer-unwritable"


class NonFinitePredictionError(ServiceError):
    """The model answered NaN or infinity; `row` is the first such row of the request."""

    code = "non-finite-prediction"

    def __init__(self, row: int) -> None:
        super().__init__(f"the model's prediction for row {row} is not a finite number")
        self.row = row

    def extras(self) -> dict[str, Any]:
        """Return the row."""
        return {"row": self.row}


class ChildStartError(ServiceError):
    """A child process could not be started, which says nothing of what it was to run."""

    code = "child-not-started"


class ChildLostError(ServiceError):
    """A child process ended while it was called; `last_lines` is what it printed last."""

    code = "worker-lost"

    killed_from_outside = False
    """Whether it was killed from outside (by an operator, by the kernel for want of memory)."""

    over_limit = ""
    """Which limit it was ended for going over, in words; '' where it was not."""

    ended: asyncio.Event | None = None
    """Set once it is known how it ended; None where that is known, or never will be."""

    def __init__(self, message: str, last_lines: Sequence[str] = ()) -> None:
        super().__init__(message)
        self.last_lines = tuple(last_lines)


class ChildTimeoutError(ServiceError):
    """A child process gave no answer within a call's time limit, and was ended for it."""

    code = "worker-timeout"


class ChildRaisedError(ServiceError):
    """Code in a child raised something that has no class here; `detail` is its traceback."""

    code = "child-raised"

    def __init__(self, message: str, detail: str = "") -> None:
        super().__init__(message)
        self.detail = detail


class RequestTimeoutError(ServiceError):
    """The model worked on a request for too long, so that there was no answer in time."""

    code = "request-timeout"


class QueueTimeoutError(ServiceError):
    """No answer within REQUEST_TIMEOUT_S, most of which the request waited for a worker.

    It says nothing about the model, which may not even have been asked.
    """

    code = "queue-timeout"


class DeadlineExceededError(ServiceError):
    """No answer within the time that the caller itself gives the request.

    It says nothing about the model: the caller may give it no time at all.
    """

    code = "deadline-exceeded"

    def __init__(self) -> None:
        super().__init__("no answer within the time that the caller gives the request")


class OverloadedError(ServiceError):
    """A request that was refused before any work: its answer would come too late, or no room is.

    `retry_after_s` is when it may be worth another try, `reason` is for those that count.
    """

    code = "overloaded"
    is_ours = True

    def __init__(
        self, message: str, retry_after_s: float = 1.0, reason: Overload = "overloaded"
    ) -> None:
        super().__init__(message)
        self.retry_after_s = retry_after_s
        self.reason = reason

    def extras(self) -> dict[str, Any]:
        """Return when to try again."""
        return {"retry_after_s": self.retry_after_s}


class CallerGoneError(ServiceError):
    """A request whose caller hung up before all of it came, or before a worker had it."""

    code = "caller-gone"


class ShuttingDownError(ServiceError):
    """The service is ending and takes no more work."""

    code = "shutting-down"


class SourceUnavailableError(ServiceError):
    """The registry could not be asked. Never to be read as 'nothing is promoted'."""

    code = "registry-unavailable"


class FetchFailedError(ServiceError):
    """A version's artifacts could not be brought into the store; worth another try."""

    code = "fetch-failed"


class EnvironmentRefusedError(ServiceError):
    """A version's environment can't be built, whenever it is tried; with the builder's lines."""

    code = "environment-refused"


class EnvironmentNotBuiltError(ServiceError):
    """A version's environment could not be built for now; worth another try."""

    code = "environment-not-built"


class StoreCorruptError(ServiceError):
    """Files in the store are not those that were fetched."""

    code = "store-corrupt"


class StateUnreadableError(ServiceError):
    """A state file that is there and can't be read: what it said is unknown."""

    code = "state-unreadable"


class PinUnknownError(ServiceError):
    """It is unknown whether a pin is in force: nothing newly promoted is followed."""

    code = "pin-unknown"


class SignatureError(ServiceError):
    """A model whose signature is missing, or has what cannot be served; says what to log."""

    code = "signature"


class RefusedError(ServiceError):
    """A version that a gate refused, with every verdict up to that one."""

    code = "version-refused"

    def __init__(self, message: str, verdicts: Sequence[Verdict] = ()) -> None:
        super().__init__(message)
        self.verdicts = tuple(verdicts)

    def extras(self) -> dict[str, Any]:
        """Return the verdicts."""
        return {"verdicts": self.verdicts}


class NothingPromotedError(ServiceError):
    """The registry says that nothing is promoted at the place that is followed."""

    code = "nothing-promoted"


class UnknownVersionError(ServiceError):
    """A version that neither the registry nor the store has."""

    code = "unknown-version"


class SupersededError(ServiceError):
    """A newer promotion took the place of the one that was waited for."""

    code = "superseded"


class ReloadTimeoutError(ServiceError):
    """A reload is not done within LOAD_TIMEOUT_S; it goes on."""

    code = "reload-timeout"
