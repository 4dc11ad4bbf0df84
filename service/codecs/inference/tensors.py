"""What both forms of the protocol's bodies share: tensors become a call, an answer tensors."""

from abc import ABC, abstractmethod
from collections.abc import Generator, Mapping, Sequence

from service.codecs.bounds import Bounds
from service.codecs.codec import UNWRITABLE, Decoded, Wanted, drained, unwritable
from service.codecs.inference.answer import (
    WrittenOutput,
    check_outputs,
    chosen,
    only,
    written_outputs,
)
from service.codecs.inference.datatypes import output_tensors
from service.codecs.inference.inputs import Inputs
from service.codecs.inference.request import Asked, InferRequest, Parameters, Sent
from service.contracts import signature as signatures
from service.contracts.answer_size import LOOP_VALUES, values_in
from service.contracts.contract import Contract, Predictions
from service.contracts.places import Place, Places
from service.core.version_names import VersionNames

TEXT_BYTES = 4
"""The least that an element of BYTES takes."""
OBJECT_VALUES = 50
"""A tensor takes as long to read as so many numbers, however few it has."""
_SLOW = frozenset({"datetime", "array", "object", "map", "any", "sparkml_vector"})
_SLOW_VALUES = 8
"""A value of these takes as long to read as so many numbers."""
_MANY_OUTPUTS = 300
"""More tensors than this are not written on the event loop: each takes some microseconds."""
_UNASKED = Asked()


class Tensors(ABC):
    """Reads and writes tensors for one contract; a codec for each form of body is built on it."""

    def __init__(self, contract: Contract) -> None:
        """Raise SignatureError for a contract whose types can't be read."""
        with signatures.being_read():
            self._inputs = Inputs(contract)
            self._declared = {spec.name: spec.datatype for spec in output_tensors(contract)}
        self._contract = contract
        self._places = _places([spec.name for spec in contract.taken])
        self._outputs = [spec.name for spec in contract.outputs]
        self._params = frozenset(str(one["name"]) for one in contract.signature["params"] or ())
        slow = any(spec.type in _SLOW for spec in contract.inputs)
        self._loop_values = LOOP_VALUES // (_SLOW_VALUES if slow else 1)
        self._has_many_outputs = len(self._outputs) > _MANY_OUTPUTS

    def decode(self, body: bytes, bounds: Bounds | None = None) -> Decoded:
        """Read every tensor by the type of its input; see Codec."""
        return drained(self.decode_chunked(body, bounds or Bounds.of_size_alone(body)))

    @abstractmethod
    def decode_chunked(self, body: bytes, bounds: Bounds) -> Generator[None, None, Decoded]:
        """Do as `decode` does, a tensor at a time."""

    def least_bytes(self, predictions: Predictions, wanted: Wanted) -> int:
        """Return how many bytes an answer has at least: one a value."""
        asked = _asked(wanted)
        if asked.outputs is None:
            return values_in(predictions)
        return values_in(only(predictions, [at for at, _ in chosen(predictions, asked)]))

    def encode(
        self,
        predictions: Predictions,
        start: int,
        stop: int,
        wanted: Wanted,
        names: VersionNames,
    ) -> bytes:
        """Return the outputs that are asked for, as tensors; see Codec."""
        return drained(self.encode_chunked(predictions, start, stop, wanted, names))

    def encode_chunked(
        self,
        predictions: Predictions,
        start: int,
        stop: int,
        wanted: Wanted,
        names: VersionNames,
    ) -> Generator[None, None, bytes]:
        """Do as `encode` does, some thousand values at a time."""
        asked = _asked(wanted)
        rows = range(start, stop)
        try:
            outputs = yield from written_outputs(predictions, rows, asked, self._declared)
            return self.whole(outputs, len(rows), asked, names)
        except UNWRITABLE as error:
            raise unwritable(error, "tensors") from error

    @abstractmethod
    def whole(
        self, outputs: list[WrittenOutput], rows: int, asked: Asked, names: VersionNames
    ) -> bytes:
        """Return the whole answer that has these outputs."""

    def check_asked(self, asked: Asked) -> None:
        """Raise ContractViolationError for outputs that the model is known not to have."""
        if self._outputs:
            check_outputs(asked, self._outputs)

    def called(
        self, request: InferRequest, tensors: Mapping[str, Sent], asked: Asked, bounds: Bounds
    ) -> Generator[None, None, Decoded]:
        """Return the call that a request's tensors are, a tensor at a time."""
        rows, values = yield from self._inputs.read(tensors, bounds)
        places, columns = self._places, len(self._contract.taken)
        if len(tensors) == 1 and columns > 1:
            # Columns without names are one tensor.
            places = _places([tensor.name for tensor in request.inputs] * columns)
        return self._contract.call_of(rows, values, self._given(request), places), asked

    def _given(self, request: InferRequest) -> Parameters | None:
        """Return the request's parameters that are the model's; the protocol has others."""
        if not self._params or not request.parameters:
            return None
        return {name: raw for name, raw in request.parameters.items() if name in self._params}


def _asked(wanted: Wanted) -> Asked:
    return wanted if isinstance(wanted, Asked) else _UNASKED


def _places(names: Sequence[str]) -> Places:
    """Return the places of a column for each of these tensors."""
    return Places(
        values=[_place(name) for name in names],
        columns=[f"inputs.{name}" for name in names],
        rows="inputs",
    )


def _place(name: str) -> Place:
    return lambda row: f"inputs.{name}[{row}]"
