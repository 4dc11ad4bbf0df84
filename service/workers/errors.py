"""What workers and compilers raise that the server process treats as if it were raised there."""

import msgspec

from service.core.errors import (
    AnswerTooLargeError,
    BodyTooLargeError,
    ContractViolationError,
    MalformedBodyError,
    ModelFailedError,
    NotAcceptableError,
    ScoringError,
    ServiceError,
    SignatureError,
    StoreCorruptError,
    UnsupportedContentTypeError,
    UnwritableAnswerError,
)
from service.processes.protocol import Errors, Fault, by_message


class _Place(msgspec.Struct, frozen=True):
    """Where a request breaks the contract; see ContractViolationError."""

    path: str
    row: int | None
    expected: str
    got: str


def _violation(fault: Fault) -> ServiceError:
    place = msgspec.convert(fault.extras, _Place)
    return ContractViolationError(place.path, place.row, place.expected, place.got)


class _Scoring(msgspec.Struct, frozen=True):
    """How MLflow refuses a body; see ScoringError."""

    error_code: str
    status: int


def _scoring(fault: Fault) -> ServiceError:
    told = msgspec.convert(fault.extras, _Scoring)
    return ScoringError(fault.message, told.error_code, told.status)


def _model_failure(fault: Fault) -> ServiceError:
    return ModelFailedError(fault.message, fault.detail)


WORKER_ERRORS: Errors = {
    **by_message(
        MalformedBodyError,
        BodyTooLargeError,
        AnswerTooLargeError,
        NotAcceptableError,
        StoreCorruptError,
        SignatureError,
        UnsupportedContentTypeError,
        UnwritableAnswerError,
    ),
    ContractViolationError.code: _violation,
    ScoringError.code: _scoring,
    ModelFailedError.code: _model_failure,
}
