"""A codec of a protocol that this service does not speak: tensors by name, an id, chosen outputs.

    {"id": "7", "inputs": [{"name": "a", "data": [1.0]}], "outputs": [{"name": "y"}]}

It is what the next protocol has to bring, beside its handlers.
"""

from collections.abc import Generator
from typing import Any

import msgspec

from service.codecs.bounds import Bounds
from service.codecs.codec import Decoded, Wanted
from service.codecs.json.encoding import values_of, write
from service.contracts.answer_size import values_in
from service.contracts.contract import Contract, Predictions
from service.contracts.faults import decode, fault_in, violation, violation_in
from service.contracts.mlflow_types import dec_hook
from service.contracts.places import Place, Places
from service.core.errors import ContractViolationError
from service.core.version_names import VersionNames

NAME = "tensors"
_FEW_BYTES = 1_000


class Tensor(msgspec.Struct):
    """One input."""

    name: str
    data: list[Any]


class Output(msgspec.Struct):
    """An output that is asked for."""

    name: str


class Body(msgspec.Struct):
    """A request."""

    inputs: list[Tensor]
    id: str = ""
    outputs: list[Output] = []
    parameters: dict[str, msgspec.Raw] | None = None


class Asked(Wanted, frozen=True):
    """What a request says of its answer."""

    id: str = ""
    outputs: tuple[str, ...] = ()


_BODY = msgspec.json.Decoder(Body)


class Tensors:
    """Reads and writes tensors for one contract."""

    def __init__(self, contract: Contract) -> None:
        self._contract = contract

    def is_costly(self, body: bytes) -> bool:
        """Tell it by the length alone."""
        return len(body) > _FEW_BYTES

    def decode(self, body: bytes, bounds: Bounds | None = None) -> Decoded:
        """Read every tensor by the type of its input."""
        request = decode(_BODY, body)
        at = {tensor.name: index for index, tensor in enumerate(request.inputs)}
        columns: list[list[Any]] = []
        places: list[str] = []
        kinds = zip(self._contract.inputs, self._contract.value_types, strict=True)
        for spec, kind in kinds:
            index = at.get(spec.name)
            place = f"inputs[{index}].data"
            if index is None:
                raise violation("inputs", f"a tensor {spec.name}", request.inputs)
            columns.append(_values(request.inputs[index].data, kind, place))
            places.append(place)
        rows = len(columns[0])
        for place, column in zip(places, columns, strict=True):
            if len(column) != rows or not rows:
                raise violation(place, f"an array of {max(1, rows)} items", column)
        if bounds is not None:
            bounds.check_rows(rows)
        where = Places([_in(place) for place in places], places, "inputs")
        call = self._contract.call_of(rows, columns, request.parameters, where)
        return call, Asked(id=request.id, outputs=tuple(one.name for one in request.outputs))

    def decode_chunked(self, body: bytes, bounds: Bounds) -> Generator[None, None, Decoded]:
        """Do as `decode` does, in one go."""
        yield from ()
        return self.decode(body, bounds)

    def least_bytes(self, predictions: Predictions, wanted: Wanted) -> int:
        """Count two bytes for each value."""
        del wanted
        return 2 * values_in(predictions)

    def encode(
        self,
        predictions: Predictions,
        start: int,
        stop: int,
        wanted: Wanted,
        names: VersionNames,
    ) -> bytes:
        """Return the outputs that were asked for, each with its type."""
        asked = wanted if isinstance(wanted, Asked) else Asked()
        outputs = [
            {"name": name, "datatype": dtype, "data": values_of(column, dtype, shape, start, stop)}
            for name, column, dtype, shape in zip(
                predictions.names,
                predictions.columns,
                predictions.dtypes,
                predictions.shapes,
                strict=True,
            )
            if not asked.outputs or name in asked.outputs
        ]
        if missing := sorted(set(asked.outputs) - {*predictions.names}):
            raise ContractViolationError("outputs", None, "outputs of the model", missing[0])
        return write(
            {
                "id": asked.id,
                "model_name": names.model,
                "model_version": names.version,
                "outputs": outputs,
            }
        )

    def encode_chunked(
        self,
        predictions: Predictions,
        start: int,
        stop: int,
        wanted: Wanted,
        names: VersionNames,
    ) -> Generator[None, None, bytes]:
        """Do as `encode` does, in one go."""
        yield from ()
        return self.encode(predictions, start, stop, wanted, names)


def _values(data: list[Any], kind: Any, place: str) -> list[Any]:
    try:
        values: list[Any] = msgspec.convert(data, list[kind], dec_hook=dec_hook)
    except msgspec.ValidationError as error:
        raise violation_in(fault_in(error, data), place) from None
    return values


def _in(place: str) -> Place:
    return lambda row: f"{place}[{row}]"
