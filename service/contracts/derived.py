"""A contract that is read off a model's signature."""

from collections.abc import Callable, Iterable, Sequence
from operator import attrgetter
from typing import Annotated, Any, NotRequired, TypedDict

import msgspec
from msgspec import Meta

from service.contracts import signature as signatures
from service.contracts.columns import to_column
from service.contracts.contract import Call, Column, InputSpec, Layout, Predictions
from service.contracts.encoding import encode_rows
from service.contracts.faults import decode, violation
from service.contracts.mlflow_types import SCALARS, dec_hook, element_type, nested_type
from service.contracts.params import Params
from service.core.errors import SignatureError

Split = Callable[[list[Any]], Iterable[Sequence[Any]]]
"""Turns decoded rows into one sequence of values for each input."""


class DerivedContract:
    """The contract of any model with a signature; see Contract for what its members promise."""

    def __init__(self, signature: dict[str, Any] | None, *, refuse_unknown: bool) -> None:
        """Raise SignatureError where the signature is missing or cannot be served."""
        self.signature = signatures.parse(signature)
        try:
            raw_inputs = self.signature["inputs"]
            self.layout = signatures.layout_of(raw_inputs)
            self.inputs = signatures.input_specs(raw_inputs)
            self.outputs = signatures.output_specs(self.signature["outputs"])
            self._fixed_rows = signatures.fixed_rows(raw_inputs)
            self._builders = [
                (to_column(spec, raw), self._where(index, spec))
                for index, (spec, raw) in enumerate(zip(self.inputs, raw_inputs, strict=True))
            ]
            self._params = (
                Params(self.signature["params"], refuse_unknown=refuse_unknown)
                if self.signature["params"]
                else None
            )
            row, self._split = _row_type(
                self.layout, self.inputs, raw_inputs, refuse_unknown=refuse_unknown
            )
        except (KeyError, TypeError, AttributeError, ValueError, IndexError) as error:
            raise SignatureError(
                f"the signature cannot be read ({type(error).__name__}: {error}): "
                f"{signatures.WHAT_TO_LOG}"
            ) from error
        # TypedDicts cannot refuse; then the names are looked at one by one.
        self._names = (
            {spec.name for spec in self.inputs}
            if refuse_unknown and not _plain_names(self.inputs)
            else None
        )
        self._decoder = msgspec.json.Decoder(
            _body_type(row, params=self._params is not None, refuse_unknown=refuse_unknown),
            dec_hook=dec_hook,
        )

    def decode(self, body: bytes) -> Call:
        """Validate a JSON body and split it into columns; see Contract."""
        request: Any = decode(self._decoder, body)
        rows = request.instances
        if self._fixed_rows is not None and len(rows) != self._fixed_rows:
            raise violation("instances", f"an array of {self._fixed_rows} items", rows)
        if self._names is not None:
            _refuse_unknown(body, self._names)
        columns: list[Column] = [
            build(values, where)
            for (build, where), values in zip(self._builders, self._split(rows), strict=True)
        ]
        params = None if self._params is None else self._params.fill(request.params)
        return Call(len(rows), columns, params)

    def encode(self, predictions: Predictions, start: int, stop: int) -> bytes:
        """Return rows [start, stop) as a JSON array; see Contract."""
        return encode_rows(predictions, start, stop)

    def _where(self, index: int, spec: InputSpec) -> str:
        match self.layout:
            case Layout.TENSOR:
                return ""
            case Layout.POSITIONAL:
                return f"[{index}]"
            case _:
                return f".{spec.name}"


def _body_type(row: Any, *, params: bool, refuse_unknown: bool) -> type[msgspec.Struct]:
    fields: list[Any] = [("instances", Annotated[list[row], Meta(min_length=1)])]
    if params:
        fields.append(("params", dict[str, msgspec.Raw] | None, None))
    return msgspec.defstruct("Body", fields, forbid_unknown_fields=refuse_unknown, gc=False)


def _row_type(
    layout: Layout,
    inputs: tuple[InputSpec, ...],
    raw_inputs: list[dict[str, Any]],
    *,
    refuse_unknown: bool,
) -> tuple[Any, Split]:
    """Return the type of one instance, and how a list of them becomes columns."""
    types = [_input_type(spec, raw) for spec, raw in zip(inputs, raw_inputs, strict=True)]
    if layout is Layout.TENSOR:
        return types[0], lambda rows: (rows,)
    if layout is not Layout.POSITIONAL and not _plain_names(inputs):
        return _dict_row(inputs, types)
    identifiers = [f"f{index}" for index in range(len(inputs))]
    fields: list[Any] = [
        (identifier, kind) if spec.required else (identifier, kind, None)
        for identifier, kind, spec in zip(identifiers, types, inputs, strict=True)
    ]
    row = msgspec.defstruct(
        "Row",
        fields,
        rename=dict(zip(identifiers, (spec.name for spec in inputs), strict=True)),
        forbid_unknown_fields=refuse_unknown,
        array_like=layout is Layout.POSITIONAL,
        kw_only=layout is not Layout.POSITIONAL,  # optional columns may come first
        gc=False,
    )
    get = attrgetter(*identifiers)
    if len(identifiers) == 1:
        return row, lambda rows: (list(map(get, rows)),)
    return row, lambda rows: zip(*map(get, rows), strict=True)


def _dict_row(inputs: tuple[InputSpec, ...], types: list[Any]) -> tuple[Any, Split]:
    """Read instances into dicts: msgspec's structs take no name with a quote or backslash."""
    fields = {
        spec.name: kind if spec.required else NotRequired[kind]
        for spec, kind in zip(inputs, types, strict=True)
    }
    names = [spec.name for spec in inputs]
    row: Any = TypedDict("Row", fields)  # type: ignore[misc]
    return row, lambda rows: ([row.get(name) for row in rows] for name in names)


def _input_type(spec: InputSpec, raw: dict[str, Any]) -> Any:
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


def _plain_names(inputs: tuple[InputSpec, ...]) -> bool:
    return not any(
        character in '"\\' or character < " " for spec in inputs for character in spec.name
    )


def _refuse_unknown(body: bytes, names: set[str]) -> None:
    document = decode(msgspec.json.Decoder(dict[str, Any]), body)
    for index, instance in enumerate(document["instances"]):
        for name in instance:
            if name not in names:
                raise violation(
                    f"instances[{index}].{name}", "no field of this name", instance[name]
                )
