"""What a codec is: a protocol's bodies on one side, calls and predictions on the other."""

from abc import ABC, abstractmethod
from collections.abc import Generator
from typing import Protocol, TypeVar

import msgspec

from service.codecs.bounds import Bounds
from service.contracts.contract import Call, Predictions
from service.core.errors import ModelFailedError
from service.core.text import presentable
from service.core.text_enum import TextEnum
from service.core.version_names import VersionNames

UNWRITABLE = (TypeError, ValueError, AttributeError, OverflowError, RecursionError)
"""What writing raises for a value that has no form in a protocol."""

T = TypeVar("T")


class Form(TextEnum):
    """How a body orders its values."""

    ROWS = "rows"
    COLUMNS = "columns"


class AnswerForm(TextEnum):
    """How MLflow's scoring protocol writes what a model answers, by the type of that."""

    VALUES = "values"  # [1.5, 2.5] or [[1, 2], [3, 4]]: an array, or lists
    RECORDS = "records"  # [{"y": 1}, {"y": 2}]: a frame


class Wanted(msgspec.Struct, frozen=True):
    """What a request says of how it is to be answered.

    A codec whose requests say more has a subclass of its own, which its `encode` gets again. A body
    of one codec may be answered by another, which looks at `form` alone.
    """

    form: Form = Form.ROWS
    client_request_id: str = ""
    """What the body calls the request, '' for nothing."""


Decoded = tuple[Call, Wanted]
"""A request's call, and what it says of its answer."""


class NotPlainError(Exception):
    """A codec in the server process leaves a body to a worker, which reads it by another code."""


class Codec(Protocol):
    """The envelope of one protocol, for one contract. `catalog` has all of them by name.

    It knows no HTTP: what a request says beside its body, in a header, its handler puts in front of
    the body if the codec is to have it. It holds no state between calls and may be used from
    several threads.
    """

    def is_costly(self, body: bytes) -> bool:
        """Tell whether decoding a body would hold up an event loop; it takes microseconds."""
        ...

    def decode(self, body: bytes, bounds: Bounds | None = None) -> Decoded:
        """Validate a body and split it into columns.

        Without `bounds` it is one that is not costly. Raise ContractViolationError,
        MalformedBodyError, and BodyTooLargeError for more than the bounds allow, or NotPlainError
        where a worker is to read it; nothing else, whatever came.
        """
        ...

    def decode_chunked(self, body: bytes, bounds: Bounds) -> Generator[None, None, Decoded]:
        """Do as `decode` does, and yield between chunks, where the body is of any."""
        ...

    def least_bytes(self, predictions: Predictions, wanted: Wanted) -> int:
        """Return how many bytes an answer has at least; it costs nothing to know."""
        ...

    def encode(
        self,
        predictions: Predictions,
        start: int,
        stop: int,
        wanted: Wanted,
        names: VersionNames,
    ) -> bytes:
        """Return the whole answer for rows [start, stop), with the version that gave it.

        Raise ModelFailedError or NotAcceptableError for values that it has no form for.
        """
        ...

    def encode_chunked(
        self,
        predictions: Predictions,
        start: int,
        stop: int,
        wanted: Wanted,
        names: VersionNames,
    ) -> Generator[None, None, bytes]:
        """Do as `encode` does, and yield between chunks."""
        ...


class InOneGo(ABC):
    """The half of a codec that reads and writes without chunks."""

    @abstractmethod
    def decode(self, body: bytes, bounds: Bounds | None = None) -> Decoded:
        """See Codec."""

    @abstractmethod
    def encode(
        self,
        predictions: Predictions,
        start: int,
        stop: int,
        wanted: Wanted,
        names: VersionNames,
    ) -> bytes:
        """See Codec."""

    def decode_chunked(self, body: bytes, bounds: Bounds) -> Generator[None, None, Decoded]:
        """Do as `decode` does."""
        yield from ()
        return self.decode(body, bounds)

    def encode_chunked(
        self,
        predictions: Predictions,
        start: int,
        stop: int,
        wanted: Wanted,
        names: VersionNames,
    ) -> Generator[None, None, bytes]:
        """Do as `encode` does."""
        yield from ()
        return self.encode(predictions, start, stop, wanted, names)


def drained(chunks: Generator[None, None, T]) -> T:
    """Return what a decoding or encoding in chunks returns, which gives way to nothing between."""
    while True:
        try:
            next(chunks)
        except StopIteration as end:
            result: T = end.value
            return result


def unwritable(error: Exception, form: str) -> ModelFailedError:
    """Return the error for values that a worker sends only if its model has changed what sends."""
    return ModelFailedError(presentable(f"the model's answer can't be written as {form}: {error}"))
