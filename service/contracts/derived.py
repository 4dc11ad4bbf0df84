"""A contract that is read off a model's signature."""

from collections.abc import Callable, Iterable, Sequence
from typing import Annotated, Any

import msgspec
import numpy as np
from msgspec import UNSET, Meta, UnsetType
from msgspec.structs import astuple

from service.contracts import signature as signatures
from service.contracts.columnar import (
    Gather,
    columns_type,
    form_of,
    place_in_columns,
    plain_names,
    rows_of,
)
from service.contracts.columns import to_column
from service.contracts.contract import (
    Call,
    Column,
    Form,
    InputSpec,
    Layout,
    Predictions,
    TypedColumn,
)
from service.contracts.encoding import encode
from service.contracts.faults import Place, decode, violation
from service.contracts.filling import filling, pack
from service.contracts.keys import object_type
from service.contracts.mlflow_types import SCALARS, dec_hook, element_type, nested_type
from service.contracts.params import Params
from service.core.errors import ContractViolationError, SignatureError

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
                to_column(spec, raw) for spec, raw in zip(self.inputs, raw_inputs, strict=True)
            ]
            self._in_rows = [self._place(*indexed) for indexed in enumerate(self.inputs)]
            self._in_columns = [place_in_columns(spec.name) for spec in self.inputs]
            self._params = (
                Params(self.signature["params"], refuse_unknown=refuse_unknown)
                if self.signature["params"]
                else None
            )
            kinds = [_input_type(*pair) for pair in zip(self.inputs, raw_inputs, strict=True)]
            row, self._split = _row_type(
                self.layout, self.inputs, kinds, refuse_unknown=refuse_unknown
            )
            columns, self._gather = self._columns_type(kinds, refuse_unknown=refuse_unknown)
        except (
            *(KeyError, TypeError, AttributeError, ValueError, IndexError),
            *(OverflowError, RecursionError),
        ) as error:
            raise SignatureError(
                f"the signature cannot be read ({type(error).__name__}: {error}): "
                f"{signatures.WHAT_TO_LOG}"
            ) from error
        self.taken = self.inputs
        self._optional = [index for index, spec in enumerate(self.inputs) if not spec.required]
        self.refuse_unknown = refuse_unknown
        # TypedDicts cannot refuse; then the names are looked at one by one.
        self._names = (
            {spec.name for spec in self.inputs}
            if refuse_unknown and not plain_names(self.inputs)
            else None
        )
        self._decoder = msgspec.json.Decoder(
            _body_type(
                row, columns, params=self._params is not None, refuse_unknown=refuse_unknown
            ),
            dec_hook=dec_hook,
        )

    def decode(self, body: bytes) -> Call:
        """Validate a JSON body and split it into columns; see Contract."""
        return self.read(body)[0]

    def read(self, body: bytes) -> tuple[Call, Form]:
        """Do as `decode` does, and tell the body's form; see Contract."""
        request: Any = decode(self._decoder, body)
        form = form_of(request, body)
        values: Iterable[Sequence[Any]]
        if form is Form.ROWS:
            given = request.instances
            rows = len(given)
            self._check_fixed_rows("instances", given)
            values, places = self._split(given), self._in_rows
        else:
            rows, values = self._columns(request.columns)
            places = self._in_columns
        if self._names is not None:
            _refuse_unknown(body, self._names, form)
        filled = b""
        if self._optional:
            values = list(values)
            filled = self._fill_in(values)
        columns: list[Column] = [
            build(column, place)
            for build, column, place in zip(self._builders, values, places, strict=True)
        ]
        params = None if self._params is None else self._params.fill(request.params)
        return Call(rows, columns, params, filled), form

    def call_of(
        self, rows: int, columns: Sequence[TypedColumn], params: dict[str, msgspec.Raw] | None
    ) -> Call:
        """Return the call for columns whose types are right; see Contract."""
        self._check_fixed_rows(f"columns.{self.inputs[0].name}", columns[0])
        filled = self._fill_in(list(columns))
        buffers = [_as_column(*pair) for pair in zip(self.inputs, columns, strict=True)]
        return Call(rows, buffers, self._fill(params), filled)

    def encode(
        self, predictions: Predictions, start: int, stop: int, form: Form = Form.ROWS
    ) -> bytes:
        """Return rows [start, stop) as JSON; see Contract."""
        return encode(predictions, start, stop, form)

    def _columns_type(self, kinds: list[Any], *, refuse_unknown: bool) -> tuple[Any, Gather | None]:
        if self.layout in {Layout.COLUMNS, Layout.TENSORS}:
            return columns_type(self.inputs, kinds, refuse_unknown=refuse_unknown)
        return msgspec.Raw, None

    def _columns(self, given: Any) -> tuple[int, Iterable[Sequence[Any]]]:
        """Return the rows and each input's values of a body's `columns`."""
        if self._gather is None:
            expected = "instances, since this model's inputs have no names"
            raise ContractViolationError("columns", None, expected, "columns")
        columns = self._gather(given)
        rows = rows_of([spec.name for spec in self.inputs], columns)
        self._check_fixed_rows(f"columns.{self.inputs[0].name}", columns[0] or [None] * rows)
        return rows, [() if values is None else values for values in columns]

    def _check_fixed_rows(self, path: str, rows: Sequence[Any] | TypedColumn) -> None:
        if self._fixed_rows is not None and len(rows) != self._fixed_rows:
            raise violation(path, f"an array of {self._fixed_rows} items", list(rows))

    def _fill_in(self, values: list[Any]) -> bytes:
        """Put None where an optional value was not sent; return how the columns are filled."""
        filled = []
        for index in self._optional:
            how, values[index] = filling(self.inputs[index], values[index])
            filled.append(how)
        return pack(filled)

    def _fill(self, params: dict[str, msgspec.Raw] | None) -> dict[str, Any] | None:
        if self._params is not None:
            return self._params.fill(params)
        if params is not None and self.refuse_unknown:
            raise violation("params", "no field of this name", dict.fromkeys(params))
        return None

    def _place(self, index: int, spec: InputSpec) -> Place:
        match self.layout:
            case Layout.TENSOR:
                return lambda row: f"instances[{row}]"
            case Layout.POSITIONAL:
                return lambda row: f"instances[{row}][{index}]"
            case _:
                return lambda row: f"instances[{row}].{spec.name}"


def _body_type(
    row: Any, columns: Any, *, params: bool, refuse_unknown: bool
) -> type[msgspec.Struct]:
    fields: list[Any] = [
        ("instances", Annotated[list[row], Meta(min_length=1)] | UnsetType, UNSET),
        ("columns", columns | UnsetType, UNSET),
    ]
    if params:
        fields.append(("params", dict[str, msgspec.Raw] | None, None))
    return msgspec.defstruct("Body", fields, forbid_unknown_fields=refuse_unknown, gc=False)


def _row_type(
    layout: Layout,
    inputs: tuple[InputSpec, ...],
    types: list[Any],
    *,
    refuse_unknown: bool,
) -> tuple[Any, Split]:
    """Return the type of one instance, and how a list of them becomes columns."""
    if layout is Layout.TENSOR:
        return types[0], lambda rows: (rows,)
    if layout is not Layout.POSITIONAL and not plain_names(inputs):
        return _dict_row(inputs, types)
    identifiers = [f"f{index}" for index in range(len(inputs))]
    fields: list[Any] = [
        (identifier, kind) if spec.required else (identifier, kind | UnsetType, UNSET)
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
    return row, lambda rows: zip(*map(astuple, rows), strict=True)


def _dict_row(inputs: tuple[InputSpec, ...], types: list[Any]) -> tuple[Any, Split]:
    """Read instances into dicts: msgspec's structs take no name with a quote or backslash."""
    pairs = list(zip(inputs, types, strict=True))
    names = [spec.name for spec in inputs]
    row = object_type(
        "Row",
        {spec.name: kind for spec, kind in pairs if spec.required},
        {spec.name: kind for spec, kind in pairs if not spec.required},
    )
    return row, lambda rows: ([row.get(name, UNSET) for row in rows] for name in names)


def _as_column(spec: InputSpec, column: TypedColumn) -> Column:
    if isinstance(column, np.ndarray):
        return column.tobytes()
    return column if column or not spec.dtype else b""


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


def _refuse_unknown(body: bytes, names: set[str], form: Form) -> None:
    document = decode(msgspec.json.Decoder(dict[str, Any]), body)
    if form is Form.COLUMNS:
        given = {"columns": document["columns"]}
    else:
        given = {f"instances[{row}]": value for row, value in enumerate(document["instances"])}
    for place, fields in given.items():
        for name in fields:
            if name not in names:
                raise violation(f"{place}.{name}", "no field of this name", fields[name])
