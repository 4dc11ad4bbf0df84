"""Rows, columns and Arrow: equal calls for what is right, one place for what is wrong."""

import contextlib
import json
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any, NamedTuple

import msgspec
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from service.codecs.arrow.request import ArrowRequests
from service.contracts.choose import contract_for
from service.contracts.contract import Call, Contract
from service.contracts.mlflow_types import FIRST_MOMENT, LAST_MOMENT
from service.core.errors import BodyTooLargeError, ContractViolationError, MalformedBodyError
from tests.support.envelopes import decoded
from tools.arrow_bodies import stream

LIMIT = 10_000_000
Row = dict[str, Any]


class Kind(NamedTuple):
    """A scalar type: good values as Arrow has them, its Arrow types, and a value that is wrong."""

    values: st.SearchStrategy[Any]
    arrow: tuple[pa.DataType, ...]
    wrong: Any
    """Of an Arrow type that is taken, so that the fault is one row's; None is a null."""


def _int(bits: int) -> st.SearchStrategy[int]:
    return st.integers(-(2 ** (bits - 1)), 2 ** (bits - 1) - 1)


def _float(width: Any) -> st.SearchStrategy[float]:
    return st.floats(width=width, allow_nan=False, allow_infinity=False)


MOMENTS = st.datetimes(FIRST_MOMENT, datetime(2262, 4, 10), timezones=st.just(UTC))  # noqa: DTZ001
KINDS = {
    "boolean": Kind(st.booleans(), (pa.bool_(),), None),
    "integer": Kind(_int(32), (pa.int32(),), None),
    "long": Kind(_int(64), (pa.int64(),), None),
    "float": Kind(_float(32), (pa.float32(),), None),
    "double": Kind(_float(64), (pa.float64(),), None),
    "string": Kind(
        st.text(max_size=20),
        (
            pa.string(),
            pa.large_string(),
            pa.string_view(),
            pa.dictionary(pa.int32(), pa.string()),
        ),
        None,
    ),
    "binary": Kind(st.binary(max_size=9), (pa.binary(), pa.large_binary()), None),
    "datetime": Kind(MOMENTS, (pa.timestamp("us"), pa.timestamp("us", "UTC")), LAST_MOMENT),
}
MONTHS = st.dates().map(lambda day: day.isoformat()) | st.sampled_from(["2024-02-29"])
SHARE = st.floats(0, 1 / 3)
AMOUNT = st.floats(0, 1e300)
COUNT = st.integers(0, 2**63 - 1)
ARCHIVE: dict[str, tuple[str, st.SearchStrategy[Any], list[Any]]] = {
    "month": ("string", MONTHS, ["2023-02-29", "2024-1-01", ""]),
    "total_files": ("long", COUNT.filter(bool), [0, -1]),
    "avg_file_size_mb": ("double", AMOUNT, [-0.5]),
    "largest_file_mb": ("double", AMOUNT, [-1e-9]),
    "pct_pdf": ("double", SHARE, [1.1, -0.1]),
    "pct_docx": ("double", SHARE, [1.5]),
    "pct_xlsx": ("double", SHARE, [-0.5]),
    "archive_frequency_per_day": ("double", AMOUNT, [-1.0]),
    "storage_saved_gb": ("double", AMOUNT, [-1.0]),
    "deleted_files_count": ("long", COUNT, [-1]),
    "tenant_count": ("long", COUNT, [-(2**63)]),
    "site_count": ("long", COUNT, [-2]),
}
ARROW_OF_ARCHIVE = {"string": pa.string(), "long": pa.int64(), "double": pa.float64()}


def _contract(*, required: bool) -> Contract:
    inputs = [{"type": kind, "name": kind, "required": required} for kind in KINDS]
    return contract_for("some-model", {"inputs": inputs, "outputs": None}, refuse_unknown=False)


REQUIRED, OPTIONAL = _contract(required=True), _contract(required=False)
FORECAST = contract_for(
    "archive-forecast-rf",
    {"inputs": [{"type": kind, "name": name} for name, (kind, *_) in ARCHIVE.items()]},
    refuse_unknown=False,
)


def forms(
    subject: Contract, rows: list[Row], types: dict[str, pa.DataType], **options: Any
) -> dict[str, Callable[[], Call]]:
    """Return what decodes the same rows in each form."""
    names = list(rows[0])
    in_json = json.loads(msgspec.json.encode(rows))  # bytes as base64, moments as RFC 3339
    by_row = json.dumps({"instances": in_json}).encode()
    by_column = json.dumps({"columns": {n: [row[n] for row in in_json] for n in names}}).encode()
    table = {name: pa.array([row[name] for row in rows], types[name]) for name in names}
    in_arrow = stream(table, **options)
    return {
        "rows": lambda: decoded(subject, by_row),
        "columns": lambda: decoded(subject, by_column),
        "arrow": lambda: ArrowRequests(subject).decode(in_arrow, LIMIT),
    }


def place(decode: Callable[[], Call]) -> tuple[int | None, str]:
    """Return the row and column of a fault."""
    with pytest.raises(ContractViolationError) as caught:
        decode()
    name = caught.value.path.partition(".")[2]
    return caught.value.row, name.partition("[")[0]


@st.composite
def tables(draw: st.DrawFn, *, holes: bool) -> tuple[list[Row], dict[str, pa.DataType]]:
    """Draw rows, each with the same columns, and an Arrow type for each."""
    names = (
        draw(st.lists(st.sampled_from(list(KINDS)), min_size=1, unique=True))
        if holes
        else list(KINDS)
    )
    row = st.fixed_dictionaries(
        {n: st.none() | KINDS[n].values if holes else KINDS[n].values for n in names}
    )
    rows = draw(st.lists(row, min_size=1, max_size=5))
    return rows, {name: draw(st.sampled_from(KINDS[name].arrow)) for name in names}


options = st.fixed_dictionaries(
    {}, optional={"batch_rows": st.integers(1, 3), "compression": st.sampled_from(["lz4", "zstd"])}
)


@given(table=tables(holes=False), options=options)
def test_the_three_forms_give_one_call(
    table: tuple[list[Row], dict[str, pa.DataType]], options: dict[str, Any]
) -> None:
    """Of values of every scalar type, in whatever batches and Arrow types they come."""
    rows, types = table
    calls = {name: decode() for name, decode in forms(REQUIRED, rows, types, **options).items()}
    assert calls["rows"] == calls["columns"]
    assert calls["rows"] == calls["arrow"]


@given(table=tables(holes=True), options=options)
def test_they_do_where_values_and_whole_columns_are_missing(
    table: tuple[list[Row], dict[str, pa.DataType]], options: dict[str, Any]
) -> None:
    """Null and absent are the same for all optional inputs."""
    rows, types = table
    calls = {name: decode() for name, decode in forms(OPTIONAL, rows, types, **options).items()}
    assert calls["rows"] == calls["columns"]
    assert calls["rows"] == calls["arrow"]


@given(table=tables(holes=False), data=st.data())
def test_a_fault_has_the_same_place_in_each(
    table: tuple[list[Row], dict[str, pa.DataType]], data: st.DataObject
) -> None:
    """Row and column, whichever they are."""
    rows, types = table
    at = data.draw(st.integers(0, len(rows) - 1))
    name = data.draw(st.sampled_from(list(KINDS)))
    rows[at][name] = KINDS[name].wrong
    for decode in forms(REQUIRED, rows, types).values():
        assert place(decode) == (at, name)


WHOLE = stream(
    {
        "boolean": [True, None],
        "double": [0.5, None],
        "string": pa.array(["a", "a longer one than fits a view"]).cast(pa.string_view()),
        "binary": pa.array([b"a", None]),
        "datetime": pa.array([0, None], pa.timestamp("ms", "UTC")),
        "else": pa.array(["a", "b"]).dictionary_encode(),
    },
    compression="lz4",
    batch_rows=1,
)


@settings(max_examples=300)
@given(
    changes=st.lists(st.tuples(st.integers(0, len(WHOLE) - 1), st.integers(0, 255)), min_size=1),
    cut=st.integers(0, 40),
)
def test_a_damaged_stream_raises_nothing_else(changes: list[tuple[int, int]], cut: int) -> None:
    """Whatever its bytes say, it is a call, or one of the errors that a body may have."""
    body = bytearray(WHOLE)
    for at, byte in changes:
        body[at] = byte
    with contextlib.suppress(ContractViolationError, MalformedBodyError, BodyTooLargeError):
        call = ArrowRequests(OPTIONAL).decode(bytes(body[: len(body) - cut]), LIMIT)
        assert call.rows


archive_rows = st.fixed_dictionaries({name: values for name, (_, values, _) in ARCHIVE.items()})
archive_types = {name: ARROW_OF_ARCHIVE[kind] for name, (kind, *_) in ARCHIVE.items()}


@given(rows=st.lists(archive_rows, min_size=1, max_size=5))
def test_the_forecasts_rules_let_the_same_pass_in_each(rows: list[Row]) -> None:
    """And make the same call of it."""
    calls = [decode() for decode in forms(FORECAST, rows, archive_types).values()]
    assert calls[0] == calls[1]
    assert calls[0] == calls[2]


@given(rows=st.lists(archive_rows, min_size=1, max_size=5), data=st.data())
def test_the_forecasts_rules_are_broken_at_the_same_place_in_each(
    rows: list[Row], data: st.DataObject
) -> None:
    """In the same words, too."""
    at = data.draw(st.integers(0, len(rows) - 1))
    name = data.draw(st.sampled_from(list(ARCHIVE)))
    rows[at][name] = data.draw(st.sampled_from(ARCHIVE[name][2]))
    told = set()
    for decode in forms(FORECAST, rows, archive_types).values():
        with pytest.raises(ContractViolationError) as caught:
            decode()
        told.add((caught.value.row, caught.value.expected, caught.value.got))
        assert place(decode) == (at, name)
    assert len(told) == 1


@given(rows=st.lists(archive_rows, min_size=1, max_size=5), data=st.data())
def test_shares_of_more_than_the_whole_are_told_with_their_row_in_each(
    rows: list[Row], data: st.DataObject
) -> None:
    """The fault is the row's; a column has no place for it but the first share's."""
    at = data.draw(st.integers(0, len(rows) - 1))
    rows[at].update(pct_pdf=0.5, pct_docx=0.4, pct_xlsx=0.2)
    found = [place(decode) for decode in forms(FORECAST, rows, archive_types).values()]
    assert found == [(at, ""), (at, "pct_pdf"), (at, "pct_pdf")]
