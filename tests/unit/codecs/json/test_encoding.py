"""How predictions are written."""

import json
from collections.abc import Callable, Generator

import numpy as np
import pytest

from service.codecs.json.cells import with_written_cells
from service.codecs.json.encoding import (
    encode_columns,
    encode_columns_chunked,
    encode_rows,
    encode_rows_chunked,
    unpacked,
)
from service.contracts.answer_size import WRITTEN
from service.contracts.contract import Column, Predictions
from service.contracts.fitting import misfit
from tests.support.envelopes import finished


def test_each_row_is_an_object_with_the_outputs_names() -> None:
    """Strings, booleans, integers, floats, datetimes, bytes and nested arrays."""
    at = np.array(["2024-01-01T00:00:00.5", "NaT", "2024-01-03"], "datetime64[us]")
    predictions = Predictions(
        rows=3,
        names=["label", "ok", "n", "p", "at", "v", "b"],
        columns=[
            ["a", None, "c"],
            np.array([True, False, True]).tobytes(),
            np.array([1, 2, 3], "int64").tobytes(),
            np.array([0.1, 1e300, -0.5]).tobytes(),
            at.tobytes(),
            np.arange(12, dtype="float32").tobytes(),
            [b"a", b"b", b"c"],
        ],
        dtypes=["", "bool", "int64", "float64", "datetime64[us]", "float32", ""],
        shapes=[[], [], [], [], [], [2, 2], []],
        non_finite=[],
    )
    rows = json.loads(encode_rows(predictions, 0, 3))
    assert rows[0] == {
        "label": "a",
        "ok": True,
        "n": 1,
        "p": 0.1,
        "at": "2024-01-01T00:00:00.500000Z",
        "v": [[0.0, 1.0], [2.0, 3.0]],
        "b": "YQ==",
    }
    assert rows[1]["at"] is None
    assert json.loads(encode_rows(predictions, 1, 2)) == rows[1:2]
    assert encode_rows(predictions, 1, 1) == b"[]"


def test_one_output_is_an_object_too() -> None:
    """Under its name."""
    predictions = Predictions(1, ["prediction"], [["x"]], [""], [[]], [])
    assert encode_rows(predictions, 0, 1) == b'[{"prediction":"x"}]'


@pytest.mark.parametrize(
    "names", [["a"], ['with "quotes"', "b"], ["a\\b"], ["é", "line\nbreak"], ["", "a"]]
)
def test_any_name_of_an_output_stands_in_each_row(names: list[str]) -> None:
    """Also those that msgspec's structs do not take."""
    columns: list[Column] = [[at, at + 0.5] for at in range(len(names))]
    answer = Predictions(2, names, columns, [""] * len(names), [[]] * len(names), [])
    wanted = [dict(zip(names, row, strict=True)) for row in zip(*columns, strict=True)]
    assert json.loads(encode_rows(answer, 0, 2)) == wanted


def much() -> Predictions:
    """Return 600 rows of everything that a column may be, narrow, wide, and of any length."""
    rows, random = 600, np.random.default_rng(7)
    numbers = random.random((rows, 40))
    numbers[3, 5] = np.nan
    moments = random.integers(0, 2**60, (rows, 20)).astype("datetime64[ns]")
    moments[5, 1] = "NaT"
    nested = [[{"a": [1, None, "\u00e9"] * (row % 7)}, b"x"] for row in range(rows)]
    return Predictions(
        rows,
        ["n", "wide", "at", 'in "lists"'],
        [random.random(rows).tobytes(), numbers.tobytes(), moments.tobytes(), nested],
        ["float64", "float64", "datetime64[ns]", ""],
        [[], [40], [20], []],
        [3],
    )


@pytest.mark.parametrize(
    ("encode", "encode_chunked"),
    [(encode_rows, encode_rows_chunked), (encode_columns, encode_columns_chunked)],
)
@pytest.mark.parametrize(("start", "stop"), [(0, 600), (0, 1), (250, 599), (7, 7)])
def test_an_answer_is_the_same_wherever_and_in_how_many_chunks_it_is_written(
    encode: Callable[..., bytes],
    encode_chunked: Callable[..., Generator[None, None, bytes]],
    start: int,
    stop: int,
) -> None:
    """In the worker row by row, here in one, or in some rows at a time."""
    answer = much()
    written = with_written_cells(answer)
    assert written.dtypes == ["float64", WRITTEN, WRITTEN, WRITTEN]
    assert misfit(written, 600) == ""
    wanted = encode(answer, start, stop)
    for same in (answer, written, unpacked(written)):
        assert encode(same, start, stop) == wanted
        assert finished(encode_chunked(same, start, stop))[0] == wanted
