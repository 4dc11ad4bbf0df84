"""The hand-written contract of `archive-forecast-rf`, the model that this service was built for."""

from collections.abc import Sequence
from typing import Annotated, Any

import msgspec
import numpy as np
from msgspec import UNSET, Meta, UnsetType
from msgspec.structs import astuple

from service.contracts import archive_rules as rules
from service.contracts import signature as signatures
from service.contracts.columnar import columns_type, form_of, place_in_columns, rows_of
from service.contracts.contract import (
    Call,
    Column,
    Form,
    Layout,
    OutputSpec,
    Predictions,
    TypedColumn,
)
from service.contracts.encoding import encode
from service.contracts.faults import decode, violation

OUTPUTS = ("archived_gb", "savings_gb")

_FITS = {
    "month": {"string"},
    **{
        name: {"integer", "long", "float", "double"}
        if name in rules.COUNTS
        else {"float", "double"}
        for name in rules.TYPES
        if name != "month"
    },
}


class ArchiveForecastContract:
    """The rules of `archive-forecast-rf`; see Contract for what the members promise.

    Columns follow the signature's order, and its types: a retrain may have made a count a double.
    """

    layout = Layout.COLUMNS

    def __init__(self, signature: dict[str, Any], *, refuse_unknown: bool) -> None:
        self.signature = signatures.parse(signature)
        self.inputs = signatures.input_specs(
            [{**spec, "required": True} for spec in self.signature["inputs"]]
        )
        named = {spec.get("name") for spec in self.signature["outputs"] or ()} == set(OUTPUTS)
        self.outputs = (
            signatures.output_specs(self.signature["outputs"])
            if named
            else tuple(OutputSpec(name, "double") for name in OUTPUTS)
        )
        self.taken = tuple(rules.taken(spec.name) for spec in self.inputs)
        self.refuse_unknown = refuse_unknown
        self._names = [spec.name for spec in self.inputs]
        self._builders = [rules.builder(spec) for spec in self.inputs]
        self._at = {name: index for index, name in enumerate(self._names)}
        row: Any = rules.StrictArchiveRow if refuse_unknown else rules.ArchiveRow
        self._order = [row.__struct_fields__.index(name) for name in self._names]
        columns, self._gather = columns_type(
            self.inputs, [rules.TYPES[name] for name in self._names], refuse_unknown=refuse_unknown
        )
        body = msgspec.defstruct(
            "ArchiveRequest",
            [
                ("instances", Annotated[list[row], Meta(min_length=1)] | UnsetType, UNSET),
                ("columns", columns | UnsetType, UNSET),
            ],
            forbid_unknown_fields=refuse_unknown,
        )
        self._decoder: msgspec.json.Decoder[Any] = msgspec.json.Decoder(body)

    @staticmethod
    def fits(signature: dict[str, Any]) -> bool:
        """Tell whether a parsed signature has these columns, in types that can hold the values."""
        inputs, outputs = signature["inputs"], signature["outputs"] or []
        kinds = {spec.get("name"): spec.get("type") for spec in inputs}
        if len(inputs) != len(_FITS) or kinds.keys() != _FITS.keys() or signature["params"]:
            return False
        if not all(isinstance(kinds[name], str) and kinds[name] in _FITS[name] for name in _FITS):
            return False
        names = [spec.get("name") for spec in outputs]
        match outputs:
            case [{"type": "tensor", "tensor-spec": {"shape": [_, 2]}}] if names == [None]:
                return True
            case _:
                return not outputs or names == [None, None] or sorted(map(str, names)) == [*OUTPUTS]

    def decode(self, body: bytes) -> Call:
        """Validate a JSON body and split it into columns; see Contract."""
        return self.read(body)[0]

    def read(self, body: bytes) -> tuple[Call, Form]:
        """Do as `decode` does, and tell the body's form; see Contract."""
        request = decode(self._decoder, body)
        form = form_of(request, body)
        if form is Form.COLUMNS:
            lists: Any = self._gather(request.columns)
            rows = rows_of(self._names, lists)
            typed = [
                np.array(values, spec.dtype) if spec.dtype else values
                for spec, values in zip(self.taken, lists, strict=True)
            ]
            return self._ruled(rows, typed), form
        given: list[rules.ArchiveRow] = request.instances
        fields = list(zip(*map(astuple, given), strict=True))
        values = [fields[index] for index in self._order]
        rules.check_months(values[self._at["month"]], lambda row: f"instances[{row}].month")
        rules.check_shares(
            [values[self._at[name]] for name in rules.SHARES], lambda row: f"instances[{row}]"
        )
        columns: list[Column] = [
            build(column) for build, column in zip(self._builders, values, strict=True)
        ]
        return Call(len(given), columns), form

    def call_of(
        self, rows: int, columns: Sequence[TypedColumn], params: dict[str, msgspec.Raw] | None
    ) -> Call:
        """Return the call for columns whose types are right; see Contract."""
        if params is not None and self.refuse_unknown:
            raise violation("params", "no field of this name", dict.fromkeys(params))
        return self._ruled(rows, columns)

    def encode(
        self, predictions: Predictions, start: int, stop: int, form: Form = Form.ROWS
    ) -> bytes:
        """Return rows [start, stop) as JSON; see Contract."""
        return encode(predictions, start, stop, form)

    def _ruled(self, rows: int, columns: Sequence[TypedColumn]) -> Call:
        """Hold whole columns to the rules that rows are held to."""
        by_name: dict[str, Any] = dict(zip(self._names, columns, strict=True))
        for name, values in by_name.items():
            if name != "month":
                rules.check_bounds(name, values)
        rules.check_months(by_name["month"], place_in_columns("month"))
        rules.check_share_columns([by_name[name] for name in rules.SHARES])
        narrowed: list[Column] = [
            list(by_name[spec.name])
            if spec.type == "string"
            else rules.narrow(by_name[spec.name], spec)
            for spec in self.inputs
        ]
        return Call(rows, narrowed)


def contract_of(
    signature: dict[str, Any], *, refuse_unknown: bool
) -> ArchiveForecastContract | None:
    """Return the contract for a signature that has these columns, None for any other.

    The entry point of `hotswap.contracts` for `archive-forecast-rf`.
    """
    if not ArchiveForecastContract.fits(signature):
        return None
    return ArchiveForecastContract(signature, refuse_unknown=refuse_unknown)
