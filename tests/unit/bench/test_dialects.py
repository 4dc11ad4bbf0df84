import json

import numpy as np
import pyarrow as pa
import pytest

from bench import dialects
from bench.dialects import Dialect
from bench.rows import frame_of

PREDICTIONS = [[20.5, 9.5], [3.25, 1.5]]
NAMED = [dict(zip(("archived_gb", "savings_gb"), row, strict=True)) for row in PREDICTIONS]


@pytest.mark.parametrize(
    ("dialect", "answer"),
    [
        (dialects.INSTANCES, {"predictions": NAMED}),
        (dialects.DATAFRAME_SPLIT, {"predictions": PREDICTIONS}),
        (dialects.ROWS, PREDICTIONS),
        (
            dialects.OPEN_INFERENCE,
            {"outputs": [{"name": "output-1", "data": [20.5, 9.5, 3.25, 1.5]}]},
        ),
        (
            dialects.OPEN_INFERENCE,
            {
                "outputs": [
                    {"name": "savings_gb", "data": [9.5, 1.5]},
                    {"name": "archived_gb", "data": [20.5, 3.25]},
                ]
            },
        ),
    ],
)
def test_every_form_of_answer_is_the_same_table(dialect: Dialect, answer: object) -> None:
    """A row for each instance, the outputs in the model's order."""
    np.testing.assert_array_equal(dialect.decode(json.dumps(answer).encode()), PREDICTIONS)


def test_arrow_is_the_same_table_both_ways() -> None:
    """Columns by their names."""
    frame = frame_of(3)
    sent = pa.ipc.open_stream(dialects.ARROW_STREAM.encode(frame)).read_all()
    assert sent.to_pandas().equals(frame)


def test_floats_stay_floats_in_json() -> None:
    """Servers that read 2 as an integer would have pyfunc refuse the column."""
    frame = frame_of(1).assign(avg_file_size_mb=2.0)
    assert b'"avg_file_size_mb":2.0' in dialects.ROWS.encode(frame)
    assert b'"total_files":' in dialects.ROWS.encode(frame)


def test_a_column_of_the_open_protocol_names_its_type() -> None:
    """Text as bytes, which the codec is told to read as text."""
    inputs = {
        entry["name"]: entry
        for entry in json.loads(dialects.OPEN_INFERENCE.encode(frame_of(2)))["inputs"]
    }
    assert inputs["month"]["datatype"] == "BYTES"
    assert inputs["month"]["parameters"] == {"content_type": "str"}
    assert inputs["total_files"]["datatype"] == "INT64"
    assert inputs["pct_pdf"]["datatype"] == "FP64"
    assert inputs["pct_pdf"]["shape"] == [2, 1]


def test_binary_tensors_stand_behind_json_of_one_size() -> None:
    """Both ways: the header says where the JSON ends, and answers are read by their own."""
    (header,) = dialects.BINARY_TENSORS.headers
    frame = frame_of(3)
    for some in (frame.head(1), frame):
        body = dialects.BINARY_TENSORS.encode(some)
        inputs = json.loads(body[: int(header[1])])["inputs"]
        sizes = {one["name"]: one["parameters"]["binary_data_size"] for one in inputs}
        assert sizes["pct_pdf"] == 8 * len(some)
        assert sum(sizes.values()) == len(body) - int(header[1])
    outputs = [
        {"name": name, "parameters": {"binary_data_size": 16}}
        for name in ("archived_gb", "savings_gb")
    ]
    binary = np.array(PREDICTIONS).T.tobytes()
    answer = json.dumps({"outputs": outputs}).encode() + binary
    np.testing.assert_array_equal(dialects.BINARY_TENSORS.decode(answer), PREDICTIONS)


def test_rows_are_always_the_same_and_never_twice() -> None:
    """A longer body begins with the rows of a shorter one, past the end of one table too."""
    assert frame_of(2_000).head(5).equals(frame_of(5))
    assert not frame_of(2_000).duplicated().any()
