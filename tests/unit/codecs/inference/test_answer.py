"""Tensors out: what each kind of column becomes, in JSON and in binary."""

from datetime import UTC, datetime
from typing import Any

import msgspec
import numpy as np
import pytest

from service.codecs.inference.codec import InferenceTensors
from service.codecs.inference.request import Asked
from service.codecs.json.cells import with_written_cells
from service.codecs.json.encoding import unpacked
from service.contracts.answer_size import WRITTEN
from service.contracts.choose import contract_for
from service.contracts.contract import Column, Predictions
from service.core.errors import ContractViolationError, NotAcceptableError
from service.core.version_names import VersionNames
from tests.support.inference_bodies import answered, values_in

NAMES = VersionNames("m", "7", "@champion")
IN = [{"type": "double", "name": "a", "required": True}]


def answer(
    column: Column,
    dtype: str = "",
    *,
    shape: tuple[int, ...] = (),
    rows: int = 2,
    outputs: Any = None,
    asked: Asked | None = None,
    made: Any = lambda predictions: predictions,
) -> tuple[dict[str, Any], list[Any]]:
    """Return the first output of an answer with one column, and its rows."""
    signature = {"inputs": IN, "outputs": outputs, "params": None}
    codec = InferenceTensors(contract_for("any", signature, refuse_unknown=False))
    predictions = Predictions(rows, ["y"], [column], [dtype], [list(shape)], [])
    body = codec.encode(made(predictions), 0, rows, asked or Asked(), NAMES)
    told, binary = answered(body)
    (output,) = told["outputs"]
    return output, values_in(told, binary)["y"]


BINARY = Asked(binary=True)


@pytest.mark.parametrize("dtype", ["bool", "int8", "uint64", "float16", "float32", "float64"])
@pytest.mark.parametrize("asked", [Asked(), BINARY], ids=["json", "binary"])
@pytest.mark.parametrize("made", [lambda given: given, unpacked], ids=["buffers", "lists"])
def test_numbers_keep_their_datatype(dtype: str, asked: Asked, made: Any) -> None:
    """Whichever form the batch has."""
    values = np.array([1, 0], dtype)
    output, rows = answer(values.tobytes(), dtype, asked=asked, made=made)
    datatypes = {"bool": "BOOL", "int8": "INT8", "uint64": "UINT64"}
    assert output["datatype"] == datatypes.get(dtype, dtype.upper().replace("FLOAT", "FP"))
    assert output["shape"] == [2]
    assert rows == values.tolist()


def test_a_number_is_of_the_declared_datatype_where_that_has_room_for_it() -> None:
    """So that an answer is what the model's description says; else it is what the model gave."""
    outputs = [{"type": "double", "name": "y"}]
    given = np.array([0.5, 1], "float32").tobytes()
    assert answer(given, "float32", outputs=outputs)[0]["datatype"] == "FP64"
    outputs = [{"type": "float", "name": "y"}]
    given = np.array([0.1, 1]).tobytes()
    assert answer(given, "float64", outputs=outputs)[0]["datatype"] == "FP64"


@pytest.mark.parametrize(
    ("column", "datatype", "kind", "rows"),
    [
        (["a", None], "BYTES", "str", ["a", None]),
        ([True, None], "BOOL", None, [True, None]),
        ([1, None], "INT64", None, [1, None]),
        ([2**63, 1], "UINT64", None, [2**63, 1]),
        ([1.5, 1], "FP64", None, [1.5, 1]),
        ([b"\xff", b""], "BYTES", "base64", ["/w==", ""]),
        ([[1, "a"], None], "BYTES", "pd_json", ['[1,"a"]', None]),
        ([{"a": 1}, {}], "BYTES", "pd_json", ['{"a":1}', "{}"]),
        ([1, "a"], "BYTES", "pd_json", ["1", '"a"']),
    ],
)
def test_other_values_are_what_all_of_them_are(
    column: list[Any], datatype: str, kind: str | None, rows: list[Any]
) -> None:
    """Texts, truths and numbers as such, bytes as base64, and all else as JSON in BYTES."""
    output, found = answer(column)
    assert (output["datatype"], found) == (datatype, rows)
    assert output.get("parameters", {}).get("content_type") == kind


def test_what_is_missing_has_a_binary_form_where_there_is_one() -> None:
    """No bytes for a text, NaN for a number; an integer has none."""
    assert answer(["a", None], asked=BINARY)[1] == ["a", ""]
    assert np.isnan(answer([1.5, None], asked=BINARY)[1][1])
    with pytest.raises(NotAcceptableError, match="'y'"):
        answer([1, None], asked=BINARY)
    assert answer(np.array([np.nan, 1]).tobytes(), "float64")[1] == [None, 1]


@pytest.mark.parametrize("made", [lambda given: given, unpacked], ids=["buffers", "lists"])
def test_moments_are_texts(made: Any) -> None:
    """RFC 3339, as in the other forms."""
    moments = np.array(["2024-01-01T00:00:01", "NaT"], "datetime64[ns]").tobytes()
    output, rows = answer(moments, "datetime64[ns]", made=made)
    assert (output["datatype"], output["parameters"]) == ("BYTES", {"content_type": "datetime"})
    assert rows == ["2024-01-01T00:00:01Z", None]
    binary = answer(moments, "datetime64[ns]", made=made, asked=BINARY)[1]
    assert binary == ["2024-01-01T00:00:01Z", ""]
    assert datetime.fromisoformat(binary[0]) == datetime(2024, 1, 1, 0, 0, 1, tzinfo=UTC)


@pytest.mark.parametrize("asked", [Asked(), BINARY], ids=["json", "binary"])
def test_wide_rows_are_tensors_however_they_travelled(asked: Asked) -> None:
    """Rows that hold much are JSON by the time they are written."""
    wide = np.arange(40_000, dtype="float64") / 4
    for made in (lambda given: given, unpacked, with_written_cells):
        output, rows = answer(wide.tobytes(), "float64", shape=(100, 200), asked=asked, made=made)
        assert (output["datatype"], output["shape"]) == ("FP64", [2, 100, 200])
        assert np.array_equal(np.array(rows).reshape(-1), wide)


@pytest.mark.parametrize(
    ("cells", "kind", "rows", "binary"),
    [
        ([b'"a\\n"', b"null"], "str", ["a\n", None], ["a\n", ""]),
        ([b'{"a":[1]}', b"null"], "pd_json", ['{"a":[1]}', None], ['{"a":[1]}', ""]),
    ],
)
def test_values_that_are_json_already_are_copied(
    cells: list[Any], kind: str, rows: list[Any], binary: list[Any]
) -> None:
    """As strings: a text is one, and all else stands in one."""
    output, found = answer(cells, WRITTEN)
    assert (output["datatype"], output["parameters"]["content_type"]) == ("BYTES", kind)
    assert found == rows
    assert answer(cells, WRITTEN, asked=BINARY)[1] == binary


def test_an_answer_names_its_model_as_it_was_asked_and_repeats_the_id() -> None:
    """And the kind of MLServer's clients, whose columns are of [N, 1]."""
    codec = InferenceTensors(
        contract_for("any", {"inputs": IN, "outputs": None, "params": None}, refuse_unknown=False)
    )
    predictions = Predictions(1, ["y"], [["a"]], [""], [[]], [])
    asked = Asked(model="größe", id="", kind="pd")
    told, _ = answered(codec.encode(predictions, 0, 1, asked, NAMES))
    assert told == {
        "model_name": "größe",
        "model_version": "7",
        "id": "",
        "parameters": {"content_type": "pd"},
        "outputs": [
            {
                "name": "y",
                "datatype": "BYTES",
                "shape": [1, 1],
                "parameters": {"content_type": "str"},
                "data": ["a"],
            }
        ],
    }
    plain, _ = answered(codec.encode(predictions, 0, 1, Asked(), NAMES))
    assert "id" not in plain
    assert plain["model_name"] == "m"


def test_outputs_are_those_that_are_asked_for() -> None:
    """In their order; one that the model has not is refused."""
    subject = contract_for(
        "any", {"inputs": IN, "outputs": None, "params": None}, refuse_unknown=False
    )
    codec = InferenceTensors(subject)
    ones = np.ones(2).tobytes()
    predictions = Predictions(2, ["x", "y"], [ones, ones], ["float64"] * 2, [[], []], [])
    asked = Asked(outputs=(("y", True), ("x", False)))
    told, binary = answered(codec.encode(predictions, 0, 2, asked, NAMES))
    assert [one["name"] for one in told["outputs"]] == ["y", "x"]
    assert values_in(told, binary) == {"y": [1, 1], "x": [1, 1]}
    only_x = Asked(outputs=(("x", True),))
    assert codec.least_bytes(predictions, only_x) < codec.least_bytes(predictions, Asked())
    with pytest.raises(ContractViolationError, match="x, y"):
        codec.encode(predictions, 0, 2, Asked(outputs=(("z", False),)), NAMES)


@pytest.mark.parametrize("made", [lambda given: given, unpacked], ids=["buffers", "lists"])
def test_rows_in_the_midst_of_a_batch_are_as_good_as_its_first(made: Any) -> None:
    """For each way in which a column is kept."""
    codec = InferenceTensors(
        contract_for("any", {"inputs": IN, "outputs": None, "params": None}, refuse_unknown=False)
    )
    moments = np.arange(4).astype("datetime64[s]")
    columns: list[Column] = [moments.tobytes(), np.arange(4.0).tobytes(), [*"abcd"], [1, 2, 3, 4]]
    predictions = Predictions(
        4, ["t", "x", "s", "n"], columns, ["datetime64[s]", "float64", "", ""], [[]] * 4, []
    )
    for asked in (Asked(), BINARY):
        told, binary = answered(codec.encode(made(predictions), 2, 4, asked, NAMES))
        assert values_in(told, binary) == {
            "t": ["1970-01-01T00:00:02Z", "1970-01-01T00:00:03Z"],
            "x": [2.0, 3.0],
            "s": ["c", "d"],
            "n": [3, 4],
        }


@pytest.mark.parametrize("made", [lambda given: given, unpacked], ids=["buffers", "lists"])
def test_a_truth_that_is_declared_a_number_is_one(made: Any) -> None:
    """In JSON as in binary."""
    outputs = [{"type": "long", "name": "y"}]
    given = np.array([True, False]).tobytes()
    output, rows = answer(given, "bool", outputs=outputs, made=made)
    assert (output["datatype"], rows) == ("INT64", [1, 0])
    assert all(type(value) is int for value in rows)


def test_a_value_that_has_no_json_is_the_models_fault() -> None:
    """A worker sends none, unless its model has changed what sends."""
    codec = InferenceTensors(
        contract_for("any", {"inputs": IN, "outputs": None, "params": None}, refuse_unknown=False)
    )
    predictions = Predictions(1, ["y"], [[object()]], [""], [[]], [])
    with pytest.raises(Exception, match="tensors") as refused:
        codec.encode(predictions, 0, 1, Asked(), NAMES)
    assert not isinstance(refused.value, msgspec.MsgspecError)
