"""What the inputs of `archive-forecast-rf` may be: row by row in JSON, and column by column."""

import re
from collections.abc import Callable, Iterable, Sequence
from datetime import date
from functools import lru_cache
from operator import add
from typing import Annotated, Any, get_type_hints

import msgspec
import numpy as np
from msgspec import Meta

from service.contracts.columnar import place_in_columns
from service.contracts.columns import to_buffer
from service.contracts.contract import Column, InputSpec
from service.contracts.faults import Place, violation_at
from service.contracts.mlflow_types import FLOAT32_MAX

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


COUNTS = ("total_files", "deleted_files_count", "tenant_count", "site_count")
TYPES: dict[str, Any] = get_type_hints(ArchiveRow, include_extras=True)
"""What each value is, with its bounds."""


def taken(name: str) -> InputSpec:
    """Return an input as callers see it: counts are whole numbers, whatever the model takes."""
    if name == "month":
        return InputSpec(name, "string", required=True, dtype="")
    kind, dtype = ("long", "int64") if name in COUNTS else ("double", "float64")
    return InputSpec(name, kind, required=True, dtype=dtype)


def check_months(months: Sequence[Any], place: Place) -> None:
    """Raise ContractViolationError for the first that is no real date."""
    if not all(map(_is_date, months if len(months) <= _FEW_ROWS else set(months))):
        row = next(row for row, month in enumerate(months) if not _is_date(month))
        raise violation_at(place, row, "a real date YYYY-MM-DD", months[row])


def check_shares(shares: Iterable[Sequence[float]], place: Place) -> None:
    """Raise ContractViolationError for the first row whose shares are more than the whole."""
    first, *others = shares
    totals: Iterable[float] = first
    for column in others:
        totals = map(add, totals, column)
    sums = list(totals)
    if max(sums) > _SHARES_LIMIT:
        row = next(row for row, total in enumerate(sums) if total > _SHARES_LIMIT)
        raise violation_at(place, row, _SHARES_WANTED, sums[row])


def builder(spec: InputSpec) -> Callable[[Sequence[Any]], Column]:
    """Return what makes of an input's values the column that the model takes.

    It raises ContractViolationError for what does not fit.
    """
    if spec.type == "string":
        return list
    buffer, limit = to_buffer(spec.dtype), _LIMITS.get(spec.dtype)
    if limit is None:
        return buffer

    def build(values: Sequence[Any]) -> Column:
        if max(values) > limit:
            row = next(row for row, value in enumerate(values) if value > limit)
            place: Place = lambda row: f"instances[{row}].{spec.name}"  # noqa: E731 - no shorter
            raise violation_at(place, row, f"a number <= {limit}", values[row])
        return buffer(values)

    return build


# -- the same for whole columns ------------------------------------------------------------------


def check_bounds(name: str, numbers: Numbers) -> None:
    """Raise ContractViolationError for the first number beyond its bounds, as msgspec does."""
    meta: Meta = TYPES[name].__metadata__[0]
    if name in COUNTS:
        least = 1 if meta.gt is not None else 0
        _check(name, numbers, numbers < least, f"an integer >= {least}")
        return
    _check(name, numbers, numbers < 0, "a number >= 0.0")
    if meta.le is not None:
        _check(name, numbers, numbers > 1, "a number <= 1.0")


def check_share_columns(shares: Sequence[Numbers]) -> None:
    """Raise ContractViolationError for the first row whose shares are more than the whole."""
    sums = shares[0] + shares[1] + shares[2]
    _check(SHARES[0], sums, sums > _SHARES_LIMIT, _SHARES_WANTED)


def narrow(numbers: Numbers, spec: InputSpec) -> Column:
    """Return a column as the model takes it. Raise ContractViolationError for what does not fit."""
    limit = _LIMITS.get(spec.dtype)
    if limit is not None:
        _check(spec.name, numbers, numbers > limit, f"a number <= {limit}")
    return numbers.astype(spec.dtype, copy=False).tobytes()


def _check(name: str, numbers: Numbers, wrong: Numbers, wanted: str) -> None:
    if wrong.any():
        row = int(wrong.argmax())
        raise violation_at(place_in_columns(name), row, wanted, numbers[row].item())


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
