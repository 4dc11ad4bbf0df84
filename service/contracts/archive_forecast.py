"""The hand-written contract of `archive-forecast-rf`, the model that this service was built for."""

import re
from datetime import date
from functools import lru_cache
from operator import attrgetter
from typing import Annotated, Any

import msgspec
from msgspec import Meta

from service.contracts import signature as signatures
from service.contracts.columns import to_buffer
from service.contracts.contract import Call, Column, Layout, OutputSpec, Predictions
from service.contracts.encoding import encode_rows
from service.contracts.faults import decode, violation
from service.contracts.mlflow_types import FLOAT32_MAX

MODEL_NAME = "archive-forecast-rf"
OUTPUTS = ("archived_gb", "savings_gb")

_INT64_MAX = 2**63 - 1
_LIMITS = {"int32": 2**31 - 1, "float32": FLOAT32_MAX}
_SHARES = ("pct_pdf", "pct_docx", "pct_xlsx")
_SHARES_TOLERANCE = 1e-9
_REMEMBERED_DATES = 4096
"""Callers send the same months over and over, and to look at one takes microseconds."""
_DATE = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}")

Count = Annotated[int, Meta(ge=0, le=_INT64_MAX)]
Amount = Annotated[float, Meta(ge=0)]
Share = Annotated[float, Meta(ge=0, le=1)]


class ArchiveRow(msgspec.Struct, gc=False):
    """One month of one archive."""

    month: str
    total_files: Annotated[int, Meta(gt=0, le=_INT64_MAX)]
    avg_file_size_mb: Amount
    largest_file_mb: Amount
    pct_pdf: Share
    pct_docx: Share
    pct_xlsx: Share
    archive_frequency_per_day: Amount
    storage_saved_gb: Amount
    deleted_files_count: Count
    tenant_count: Count
    site_count: Count


class StrictArchiveRow(ArchiveRow, forbid_unknown_fields=True, gc=False):
    """The same, for callers who want typos caught."""


class ArchiveRequest(msgspec.Struct):
    """The body of a request; other fields are ignored."""

    instances: Annotated[list[ArchiveRow], Meta(min_length=1)]


class StrictArchiveRequest(msgspec.Struct, forbid_unknown_fields=True):
    """The body of a request that may have no other fields."""

    instances: Annotated[list[StrictArchiveRow], Meta(min_length=1)]


COUNTS = ("total_files", "deleted_files_count", "tenant_count", "site_count")
_FITS = {
    "month": {"string"},
    **{
        name: {"integer", "long", "float", "double"} if name in COUNTS else {"float", "double"}
        for name in ArchiveRow.__struct_fields__
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
        self._get = attrgetter(*(spec.name for spec in self.inputs))
        self._at = {spec.name: index for index, spec in enumerate(self.inputs)}
        request: Any = StrictArchiveRequest if refuse_unknown else ArchiveRequest
        self._decoder = msgspec.json.Decoder(request)

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
        rows: list[ArchiveRow] = decode(self._decoder, body).instances
        values = list(zip(*map(self._get, rows), strict=True))
        self._check_months(values[self._at["month"]])
        self._check_shares([values[self._at[name]] for name in _SHARES])
        columns: list[Column] = [
            list(column) if spec.type == "string" else self._buffer(column, spec.name, spec.dtype)
            for spec, column in zip(self.inputs, values, strict=True)
        ]
        return Call(len(rows), columns)

    def encode(self, predictions: Predictions, start: int, stop: int) -> bytes:
        """Return rows [start, stop) as a JSON array; see Contract."""
        return encode_rows(predictions, start, stop)

    @staticmethod
    def _check_months(months: tuple[Any, ...]) -> None:
        row = next((row for row, month in enumerate(months) if not _is_date(month)), None)
        if row is not None:
            raise violation(f"instances[{row}].month", "a real date YYYY-MM-DD", months[row])

    @staticmethod
    def _check_shares(shares: list[tuple[Any, ...]]) -> None:
        sums = list(map(sum, zip(*shares, strict=True)))
        if max(sums) > 1 + _SHARES_TOLERANCE:
            row = next(row for row, total in enumerate(sums) if total > 1 + _SHARES_TOLERANCE)
            raise violation(f"instances[{row}]", f"{' + '.join(_SHARES)} of at most 1", sums[row])

    @staticmethod
    def _buffer(column: tuple[Any, ...], name: str, dtype: str) -> bytes:
        limit = _LIMITS.get(dtype)
        if limit is not None and max(column) > limit:
            row = next(row for row, value in enumerate(column) if value > limit)
            raise violation(f"instances[{row}].{name}", f"a number <= {limit}", column[row])
        return to_buffer(column, dtype)


@lru_cache(_REMEMBERED_DATES)
def _is_date(text: str) -> bool:
    if not _DATE.fullmatch(text):
        return False
    try:
        date.fromisoformat(text)
    except ValueError:
        return False
    return True
