"""The codec of the Open Inference Protocol, version 2: a tensor for each input and each output.

    {"id": "7", "inputs": [{"name": "a", "shape": [2], "datatype": "FP64", "data": [1, 2]}]}

is answered by `{"model_name": ..., "model_version": ..., "id": "7", "outputs": [...]}`. Tensors may
be binary, behind the JSON; `frame` says how much of a body is JSON. See `inputs` for how tensors
become a contract's inputs, and `casts` for what becomes of other datatypes than the contract has.
"""

from collections.abc import Generator

import msgspec

from service.codecs.bounds import Bounds
from service.codecs.codec import UNWRITABLE, Decoded, Wanted, drained, unwritable
from service.codecs.inference.answer import check_outputs, chosen, encoded, only
from service.codecs.inference.datatypes import output_tensors
from service.codecs.inference.frame import read_frame
from service.codecs.inference.inputs import Inputs
from service.codecs.inference.request import Asked, InferRequest, asked_of, read_request, tensors_of
from service.contracts import signature as signatures
from service.contracts.answer_size import LOOP_VALUES, values_in
from service.contracts.contract import Contract, Predictions
from service.contracts.places import Place, Places
from service.core.errors import BodyTooLargeError, MalformedBodyError
from service.core.version_names import VersionNames

_TEXT_BYTES = 4
"""The least that an element of BYTES takes."""
_SLOW = frozenset({"datetime", "array", "object", "map", "any", "sparkml_vector"})
_SLOW_VALUES = 8
"""A value of these takes as long to read as so many numbers."""
_OBJECT_VALUES = 50
"""A tensor takes as long to read as so many numbers, however few it has; its JSON has a `{`."""
_MANY_OUTPUTS = 300
"""More tensors than this are not written on the event loop: each takes some microseconds."""
_UNASKED = Asked()


class InferenceTensors:
    """Reads and writes tensors for one contract; see Codec for what its members promise."""

    def __init__(self, contract: Contract) -> None:
        """Raise SignatureError for a contract whose types can't be read."""
        with signatures.being_read():
            self._inputs = Inputs(contract)
            self._declared = {spec.name: spec.datatype for spec in output_tensors(contract)}
        self._contract = contract
        self._outputs = [spec.name for spec in contract.outputs]
        self._params = frozenset(str(one["name"]) for one in contract.signature["params"] or ())
        slow = any(spec.type in _SLOW for spec in contract.inputs)
        self._loop_values = LOOP_VALUES // (_SLOW_VALUES if slow else 1)

    def is_costly(self, body: bytes) -> bool:
        """Tell whether a body, or its answer, may have more than LOOP_VALUES.

        By the body's commas, its tensors, and the bytes behind its JSON.
        """
        if len(self._outputs) > _MANY_OUTPUTS:
            return True
        if len(body) <= self._loop_values:
            return False
        try:
            frame = read_frame(body)
        except MalformedBodyError:
            return False
        values = (len(body) - frame.stop) // _TEXT_BYTES
        values += body.count(b",", frame.start, frame.stop)
        objects = body.count(b"{", frame.start, frame.stop)
        return values > self._loop_values or objects * _OBJECT_VALUES > LOOP_VALUES

    def decode(self, body: bytes, bounds: Bounds | None = None) -> Decoded:
        """Read every tensor by the type of its input; see Codec."""
        return drained(self.decode_chunked(body, bounds or Bounds.of_size_alone(body)))

    def decode_chunked(self, body: bytes, bounds: Bounds) -> Generator[None, None, Decoded]:
        """Do as `decode` does, a tensor at a time."""
        frame = read_frame(body)
        arrays = body.count(b"[", frame.start, frame.stop)
        if arrays > bounds.rows:
            raise BodyTooLargeError(
                f"the body has {arrays} arrays, and {bounds.rows} are taken: send the tensors' "
                "data flat, in row-major order"
            )
        view = memoryview(body)
        request = read_request(view[frame.start : frame.stop])
        asked = asked_of(request, frame.model)
        if self._outputs:
            check_outputs(asked, self._outputs)
        tensors = tensors_of(request, view[frame.stop :])
        rows, values = yield from self._inputs.read(tensors, bounds)
        names = [spec.name for spec in self._contract.taken]
        if len(tensors) == 1 and len(names) > 1:
            # Columns without names are one tensor.
            names = [tensor.name for tensor in request.inputs] * len(names)
        places = Places(
            values=[_place(name) for name in names],
            columns=[f"inputs.{name}" for name in names],
            rows="inputs",
        )
        return self._contract.call_of(rows, values, self._given(request), places), asked

    def least_bytes(self, predictions: Predictions, wanted: Wanted) -> int:
        """Return how many bytes an answer has at least: one a value."""
        asked = wanted if isinstance(wanted, Asked) else _UNASKED
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
        """Do as `encode` does, some rows at a time."""
        asked = wanted if isinstance(wanted, Asked) else _UNASKED
        try:
            return (
                yield from encoded(predictions, range(start, stop), asked, names, self._declared)
            )
        except UNWRITABLE as error:
            raise unwritable(error, "tensors") from error

    def _given(self, request: InferRequest) -> dict[str, msgspec.Raw] | None:
        """Return the request's parameters that are the model's; the protocol has others."""
        if not self._params or not request.parameters:
            return None
        return {name: raw for name, raw in request.parameters.items() if name in self._params}


def _place(name: str) -> Place:
    return lambda row: f"inputs.{name}[{row}]"
