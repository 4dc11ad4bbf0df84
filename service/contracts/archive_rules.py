"""What the inputs of `archive-forecast-rf` may be: row by row in JSON, and column by column."""

import re
from collections.abc import Sequence
from datetime import date
from functools import lru_cache
from operator import add
from typing import Annotated, Any, get_type_hints

import msgspec
import numpy as np
from msgspec import Meta

from service.contracts.columns import ToColumn, to_buffer
from service.contracts.contract import Column, InputSpec, Values
from service.contracts.faults import violation_at
from service.contracts.mlflow_types import FLOAT32_MAX
from service.contracts.places import Place

SHARES = ("pct_pdf", "pct_docx", "pct_xlsx")

_INT64_MAX = 2**63 - 1
_LIMITS = {"int32": 2**31 - 1, "float32": FLOAT32_MAX}
_SHARES_LIMIT = 1 + 1e-9
_SHARES_WANTED = f"{' + '.join(SHARES)} of at most 1"
_FEW_ROWS = 64
"""Up to so many, each is looked at; of more, each that is different."""
_DATE_LENGTH = len("2024-01-01")
_REMEMBERED_DATES = 4096
"""Callers send the same months over and over, and to look at one takes microseconds."""
_DATE = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}")

Numbers = np.ndarray[Any, Any]
Count = Annotated[int, Meta(ge=0, le=_INT64_MAX)]
Amount = Annotated[float, Meta(ge=0)]
Share = Annotated[float, Meta(ge=0, le=1)]


class ArchiveRow(msgspec.Struct, gc=False):
    """One month of one archive."""

    month: Annotated[str, Meta(extra_json_schema={"format": "date"})]
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


COUNTS = ("total_files", "deleted_files_count", "tenant_count", "site_count")
TYPES: dict[str, Any] = get_type_hints(ArchiveRow, include_extras=True)
"""What each value is, with its bounds."""


def taken(name: str) -> InputSpec:
    """Return an input as callers see it: counts are whole numbers, whatever the model takes."""
    if name == "month":
        return InputSpec(name, "string", required=True, dtype="")
    kind, dtype = ("long", "int64") if name in COUNTS else ("double", "float64")
    return InputSpec(name, kind, required=True, dtype=dtype)


def check_months(months: Values, place: Place) -> None:
    """Raise ContractViolationError for the first that is no real date."""
    if not all(map(_is_date, months if len(months) <= _FEW_ROWS else set(months))):
        row = next(row for row, month in enumerate(months) if not _is_date(month))
        raise violation_at(place, row, "a real date YYYY-MM-DD", months[row])


def check_shares(first: Values, second: Values, third: Values, place: Place) -> None:
    """Raise ContractViolationError for the first row whose shares are more than the whole."""
    sums: list[float]
    if isinstance(first, np.ndarray):
        sums = (first + second + third).tolist()
    elif len(first) == 1:
        # As a rule.
        sums = [first[0] + second[0] + third[0]]
    else:
        sums = list(map(add, map(add, first, second), third))
    if max(sums) > _SHARES_LIMIT:
        row = next(row for row, total in enumerate(sums) if total > _SHARES_LIMIT)
        raise violation_at(place, row, _SHARES_WANTED, sums[row])


def check_bounds(name: str, numbers: Numbers, place: Place) -> None:
    """Raise ContractViolationError for the first number beyond its bounds, as msgspec does."""
    meta: Meta = TYPES[name].__metadata__[0]
    if name in COUNTS:
        least = 1 if meta.gt is not None else 0
        _check(numbers, numbers < least, f"an integer >= {least}", place)
        return
    _check(numbers, numbers < 0, "a number >= 0.0", place)
    if meta.le is not None:
        _check(numbers, numbers > 1, "a number <= 1.0", place)


def builder(spec: InputSpec) -> ToColumn:
    """Return what makes of an input's values the column that the model takes.

    It raises ContractViolationError for what does not fit.
    """
    if spec.type == "string":
        return lambda values, _place: list(values)
    buffer, limit = to_buffer(spec.dtype), _LIMITS.get(spec.dtype)
    if limit is None:
        return buffer

    def build(values: Sequence[Any], place: Place) -> Column:
        if max(values) > limit:
            row = next(row for row, value in enumerate(values) if value > limit)
            raise violation_at(place, row, f"a number <= {limit}", values[row])
        return buffer(values, place)

    return build


def narrowed(values: Values, spec: InputSpec, place: Place) -> Column:
    """Do as `builder`'s does, for an array where there is one."""
    if not isinstance(values, np.ndarray):
        return list(values)
    limit = _LIMITS.get(spec.dtype)
    if limit is not None:
        _check(values, values > limit, f"a number <= {limit}", place)
    return values.astype(spec.dtype, copy=False).tobytes()


def _check(numbers: Numbers, wrong: Numbers, wanted: str, place: Place) -> None:
    if wrong.any():
        row = int(wrong.argmax())
        raise violation_at(place, row, wanted, numbers[row].item())


def _is_date(text: str) -> bool:
    # The length first: what is remembered must be short, whatever callers send.
    return len(text) == _DATE_LENGTH and _is_real_date(text)


@lru_cache(_REMEMBERED_DATES)
def _is_real_date(text: str) -> bool:
    if not _DATE.fullmatch(text):
        return False
    try:
        date.fromisoformat(text)
    except ValueError:
        return False
    return True
