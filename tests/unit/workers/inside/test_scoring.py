"""Bodies of MLflow's scoring protocol: what MLflow answers, and what it is kept from."""

import io
import json
import os
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
from pyarrow import parquet

with warnings.catch_warnings():
    warnings.simplefilter("ignore")  # MLflow's own, at import
    import mlflow
    from mlflow.pyfunc import scoring_server

    from tests.support.kinds.kind import Answers, column, save_python

from service.codecs.bounds import Bounds
from service.core.errors import (
    BodyTooLargeError,
    ModelFailedError,
    NonFinitePredictionError,
    ScoringError,
    UnwritableAnswerError,
)
from service.predictors.answer_rules import NonFinite
from service.workers.inside.scoring import CSV, JSON, PARQUET, Scored, Scoring

LIMIT_BYTES = 2**27


def a_model(path: Path, function: Callable[[pd.DataFrame], Any]) -> Any:
    """Return a loaded model of one column `a`."""
    save_python(path, Answers(function), [column("double", "a")])
    return mlflow.pyfunc.load_model(str(path))


@pytest.fixture(scope="module")
def doubling(tmp_path_factory: pytest.TempPathFactory) -> Any:
    """Return a model that answers twice its column."""
    return a_model(tmp_path_factory.mktemp("model") / "m", lambda frame: frame["a"] * 2)


def scored(model: Any, body: object, kind: str = JSON, **rules: Any) -> Scored:
    """Answer a body, which is JSON unless it is bytes."""
    sent = body if isinstance(body, bytes) else json.dumps(body).encode()
    return Scoring(model, **rules).answer(kind, sent, Bounds(len(sent), LIMIT_BYTES))


@pytest.mark.parametrize(
    ("kind", "body"),
    [
        (JSON, {"dataframe_split": {"columns": ["a"], "data": [[1], [2.5]]}}),
        (JSON, {"dataframe_records": [{"a": 1}, {"a": 2.5}]}),
        (JSON, {"instances": [{"a": 1}, {"a": 2.5}]}),
        (JSON, {"inputs": {"a": [1, 2.5]}, "unknown": True}),
        (CSV, b"a\n1\n2.5\n"),
    ],
)
def test_each_form_is_answered_as_mlflow_answers_it(doubling: Any, kind: str, body: Any) -> None:
    """To the byte; and how many rows it was for is known."""
    sent = body if isinstance(body, bytes) else json.dumps(body).encode()
    schema = doubling.metadata.get_input_schema()
    text = sent.decode()
    theirs = scoring_server.invocations(text, kind, doubling, schema).response
    answered = scored(doubling, sent, kind)
    assert answered.body.decode() == theirs
    assert json.loads(theirs) == {"predictions": [{"a": 2.0}, {"a": 5.0}]}
    assert answered.rows == 2


def test_parquet_is_answered(doubling: Any) -> None:
    """As MLflow does, without a cast."""
    file = io.BytesIO()
    pd.DataFrame({"a": [1.0, 2.5]}).to_parquet(file)
    answered = scored(doubling, file.getvalue(), PARQUET)
    assert json.loads(answered.body) == {"predictions": [{"a": 2.0}, {"a": 5.0}]}


def test_a_refusal_repeats_nothing_of_the_body(doubling: Any) -> None:
    """MLflow would show all of it in the error."""
    for body in (b'{"inputs": secret', b'["secret"]', {"inputs": {"b": ["secret"]}}):
        with pytest.raises(ScoringError) as refused:
            scored(doubling, body)
        assert refused.value.status == 400
        assert "secret" not in str(refused.value)


@pytest.mark.parametrize(
    "body",
    [
        b'{"instances": ' + b"[" * 100_000 + b"]" * 100_000 + b"}",
        b'{"instances": [' + b"9" * 5_000 + b"]}",
        b'{"instances": ["\xff"]}',
    ],
)
def test_what_mlflow_itself_fails_over_is_the_callers_fault(doubling: Any, body: bytes) -> None:
    """Its server answers 500 to some of it."""
    with pytest.raises(ScoringError) as refused:
        scored(doubling, body)
    assert (refused.value.status, refused.value.error_code) == (400, "BAD_REQUEST")


@pytest.mark.parametrize(
    "body",
    [
        {"dataframe_records": [{f"a{n}": 1} for n in range(4_000)]},
        {"dataframe_split": {"index": [0] * 4_000, "columns": [0] * 4_000, "data": 1}},
        {"dataframe_split": {"data": [[0] * 4_000, *([[]] * 4_000)]}},
        {"dataframe_split": {"data": [{f"a{n}": 1} for n in range(4_000)]}},
        {"dataframe_records": [[0] * 4_000, *([[]] * 4_000)]},
        {"inputs": [{f"a{n}": 1} for n in range(4_000)]},
        {"inputs": {"a": [0] * 4_000, **{f"a{n}": 1 for n in range(4_000)}}},
        {"inputs": {f"a{n}": {f"b{n}": 1} for n in range(4_000)}},
        {"instances": [{f"a{n}": 1} for n in range(4_000)]},
    ],
)
def test_a_frame_that_is_much_larger_than_its_body_is_refused(doubling: Any, body: Any) -> None:
    """Before it is made: it would fill the memory."""
    with pytest.raises(BodyTooLargeError):
        scored(doubling, body)


@pytest.mark.parametrize(
    "table",
    [
        ",".join(["a"] * 4_000) + "\n1" * 4_000,
        '"a\n",' + ",".join(["a"] * 4_000) + "\n1" * 4_000,
        "\r \r" + ",".join(["a"] * 4_000) + "\r1" * 4_000,
        "a\n" + ",".join(["1"] * 4_000) + "\n1" * 4_000,
        '"' + "x" * 200_000 + '"' + ",a" * 4_000 + "\n1" * 4_000,
    ],
)
def test_a_table_whose_lines_lack_most_columns_is_refused(doubling: Any, table: str) -> None:
    """Each would be filled up."""
    with pytest.raises(BodyTooLargeError):
        scored(doubling, table.encode(), CSV)


WIDE = [f"a{n}" for n in range(5_000)]


@pytest.mark.parametrize(
    "body",
    [
        {"dataframe_records": [dict.fromkeys(WIDE, 1)]},
        {"instances": [dict.fromkeys(WIDE, 1)]},
        {"instances": [{name: 1} for name in WIDE]},
        {"inputs": {name: [1] for name in WIDE}},
        {"dataframe_split": {"columns": WIDE, "data": [[1] * len(WIDE)]}},
        {"dataframe_split": {"data": [dict.fromkeys(WIDE, 1)]}},
        ",".join(WIDE) + "\n" + ",".join(["1"] * len(WIDE)),
    ],
)
def test_a_frame_that_is_far_too_wide_is_refused(doubling: Any, body: Any) -> None:
    """Each column costs so much that a body of some megabytes would hold a worker for minutes."""
    kind = CSV if isinstance(body, str) else JSON
    sent = body.encode() if isinstance(body, str) else body
    with pytest.raises(BodyTooLargeError, match="the body has 5000 columns, and 4098 may be read"):
        scored(doubling, sent, kind)


def test_a_usual_table_is_not_refused_for_its_size(doubling: Any) -> None:
    """However short its cells are, and whatever its texts hold."""
    rows = 100_000
    assert scored(doubling, b"a" + b"\n1" * rows, CSV).rows == rows
    texts = "a,b\n" + '1,"' + "," * 1_000 + '"\n' + "1,x\n" * rows
    assert scored(doubling, texts.encode(), CSV).rows == rows + 1
    body = {"dataframe_split": {"columns": ["a"], "data": [[0]] * rows}}
    assert scored(doubling, body).rows == rows


def test_columns_of_nulls_are_refused_where_they_are_many(doubling: Any) -> None:
    """They take no room in a file, and eight bytes each in a frame."""
    file = io.BytesIO()
    parquet.write_table(pa.table({f"a{n}": pa.nulls(200_000) for n in range(50)}), file)
    with pytest.raises(BodyTooLargeError):
        scored(doubling, file.getvalue(), PARQUET)


def test_a_file_that_unpacks_to_much_more_is_refused(doubling: Any) -> None:
    """Some kilobytes of Parquet may hold gigabytes."""
    file = io.BytesIO()
    pd.DataFrame({"a": np.zeros(30_000_000)}).to_parquet(file)
    assert len(file.getvalue()) < 1_000_000
    with pytest.raises(BodyTooLargeError):
        scored(doubling, file.getvalue(), PARQUET)


def test_what_the_model_raises_is_told_from_what_its_schema_refuses(tmp_path: Path) -> None:
    """The first counts against the version, also where it is an error of MLflow's."""

    def raise_mlflow(_: pd.DataFrame) -> Any:
        raise mlflow.exceptions.MlflowException("from within", error_code=1000)

    body = {"instances": [{"a": 1.0}]}
    for number, function in enumerate((raise_mlflow, lambda frame: frame["nope"])):
        model = a_model(tmp_path / str(number), function)
        with pytest.raises(ModelFailedError):
            scored(model, body)
        with pytest.raises(ScoringError):
            scored(model, {"instances": [{"b": 1.0}]})


def test_what_another_model_refuses_is_the_fault_of_the_one_that_asked_it(tmp_path: Path) -> None:
    """Though it comes out of MLflow's look at input: the caller had no part in it."""
    inner = a_model(tmp_path / "inner", lambda frame: frame["a"])
    outer = a_model(tmp_path / "outer", lambda frame: frame)

    def ask_inner(frame: pd.DataFrame) -> Any:
        return inner.predict(frame.rename(columns={"a": "b"}))

    outer.unwrap_python_model().function = ask_inner
    with pytest.raises(ModelFailedError):
        scored(outer, {"instances": [{"a": 1.0}]})


def test_what_a_model_does_to_the_environment_fails_no_request(tmp_path: Path) -> None:
    """Neither this one nor the next; and MLflow's mark stands there no longer than it answers."""
    mark = "_MLFLOW_IS_IN_SERVING_ENVIRONMENT"
    seen = []

    def clear(frame: pd.DataFrame) -> Any:
        seen.append(os.environ.pop(mark, None))
        return frame["a"]

    model = a_model(tmp_path / "m", lambda frame: frame)
    model.unwrap_python_model().function = clear
    for _ in range(2):
        scored(model, {"instances": [{"a": 1.0}]})
    assert seen == ["true", "true"]
    assert mark not in os.environ


def test_bytes_that_json_may_have_are_read_as_mlflow_reads_them(doubling: Any) -> None:
    """UTF-16, and a mark in front."""
    text = '{"dataframe_records": [{"a": 1}]}'
    for sent in (text.encode("utf-8-sig"), text.encode("utf-16")):
        assert json.loads(scored(doubling, sent).body) == {"predictions": [{"a": 2.0}]}


def test_an_answer_that_has_no_json_counts_against_the_version(tmp_path: Path) -> None:
    """It is no fault of the body's."""
    model = a_model(tmp_path / "m", lambda _: [object()])
    with pytest.raises(UnwritableAnswerError):
        scored(model, {"instances": [{"a": 1.0}]})


def test_numbers_that_are_not_finite_are_answered_as_it_is_set(tmp_path: Path) -> None:
    """As literals, as MLflow does, as null, or as an error that names the row."""
    model = a_model(tmp_path / "m", lambda _: [1.0, float("nan")])
    body = {"instances": [{"a": 1.0}, {"a": 2.0}]}
    assert scored(model, body).body == b'{"predictions": [1.0, NaN]}'
    null = scored(model, body, non_finite=NonFinite.NULL)
    assert null.body == b'{"predictions": [1.0, null]}'
    with pytest.raises(NonFinitePredictionError, match="row 1"):
        scored(model, body, non_finite=NonFinite.ERROR)


def test_what_the_body_calls_the_request_is_known(doubling: Any) -> None:
    """It is cut, and what is no text is nothing."""
    body = {"instances": [{"a": 1.0}]}
    assert scored(doubling, {**body, "client_request_id": "é 1"}).client_request_id == "é 1"
    assert scored(doubling, {**body, "client_request_id": 1}).client_request_id == ""
    assert len(scored(doubling, {**body, "client_request_id": "x" * 999}).client_request_id) <= 256
