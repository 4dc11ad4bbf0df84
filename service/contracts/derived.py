"""A contract that is read off a model's signature."""

from collections.abc import Sequence
from typing import Annotated, Any

import msgspec
import numpy as np
from msgspec import Meta

from service.contracts import signature as signatures
from service.contracts.columns import to_column
from service.contracts.contract import Call, Column, InputSpec, Values
from service.contracts.faults import violation
from service.contracts.filling import filling, pack
from service.contracts.mlflow_types import SCALARS, element_type, nested_type
from service.contracts.params import Params
from service.contracts.places import Places


class DerivedContract:
    """The contract of any model with a signature; see Contract for what its members promise."""

    def __init__(self, signature: dict[str, Any] | None, *, refuse_unknown: bool) -> None:
        """Raise SignatureError where the signature is missing or cannot be served."""
        self.signature = signatures.parse(signature)
        with signatures.being_read():
            raw_inputs = self.signature["inputs"]
            self.layout = signatures.layout_of(raw_inputs)
            self.inputs = signatures.input_specs(raw_inputs)
            self.outputs = signatures.output_specs(self.signature["outputs"])
            self.value_types = tuple(
                _value_type(*pair) for pair in zip(self.inputs, raw_inputs, strict=True)
            )
            self._fixed_rows = signatures.fixed_rows(raw_inputs)
            self._builders = [
                to_column(spec, raw) for spec, raw in zip(self.inputs, raw_inputs, strict=True)
            ]
            self._params = (
                Params(self.signature["params"], refuse_unknown=refuse_unknown)
                if self.signature["params"]
                else None
            )
        self.taken = self.inputs
        self.refuse_unknown = refuse_unknown
        self._optional = [index for index, spec in enumerate(self.inputs) if not spec.required]

    def call_of(
        self,
        rows: int,
        columns: Sequence[Values],
        params: dict[str, msgspec.Raw] | None,
        places: Places,
    ) -> Call:
        """Return the call for values whose types are right; see Contract."""
        if self._fixed_rows is not None and rows != self._fixed_rows:
            wanted = f"an array of {self._fixed_rows} items"
            raise violation(places.columns[0], wanted, [None] * rows)
        filled = b""
        if self._optional:
            columns = list(columns)
            filled = self._fill_in(columns)
        built: list[Column] = [
            column.tobytes() if isinstance(column, np.ndarray) else build(column, place)
            for build, column, place in zip(self._builders, columns, places.values, strict=True)
        ]
        return Call(rows, built, self._fill(params), filled)

    def _fill_in(self, columns: list[Values]) -> bytes:
        """Put None where an optional value was not sent; return how the columns are filled."""
        filled = []
        for index in self._optional:
            how, columns[index] = filling(self.inputs[index], columns[index])
            filled.append(how)
        return pack(filled)

    def _fill(self, params: dict[str, msgspec.Raw] | None) -> dict[str, Any] | None:
        if self._params is not None:
            return self._params.fill(params)
        if params is not None and self.refuse_unknown:
            raise violation("params", "no field of this name", dict.fromkeys(params))
        return None


def _value_type(spec: InputSpec, raw: dict[str, Any]) -> Any:
    if spec.type == "tensor":
        return _nested_list(element_type(raw["tensor-spec"]["dtype"])[0], spec.shape)
    kind = SCALARS[spec.type][0] if spec.type in SCALARS else nested_type(raw)
    return kind if spec.required else kind | None


def _nested_list(element: Any, shape: tuple[int, ...]) -> Any:
    if not shape:
        return element
    inner: Any = list[_nested_list(element, shape[1:])]  # type: ignore[misc]
    return (
        inner if shape[0] < 0 else Annotated[inner, Meta(min_length=shape[0], max_length=shape[0])]
    )
