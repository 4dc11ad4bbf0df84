"""Examples, probe rows, and what they show of a model."""

import datetime as dt
import json
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from service.contracts.choose import contract_for
from service.contracts.contract import Call, Contract, Predictions
from service.predictors.examples import example_call
from service.predictors.inputs import to_model_input
from service.predictors.outputs import to_predictions
from service.predictors.proving.row_wise import is_row_wise, judge_row_wise, probe_calls
from service.predictors.proving.varied import distinct
from tests.support.envelopes import decoded


def contract(*inputs: dict[str, Any], params: list[dict[str, Any]] | None = None) -> Contract:
    """Return a contract with these inputs."""
    signature = {"inputs": list(inputs), "outputs": None, "params": params}
    return contract_for("some-model", signature, refuse_unknown=True)


def column(kind: str, name: str | None, *, required: bool = True) -> dict[str, Any]:
    """Write a ColSpec as MLflow does."""
    return {"type": kind, "required": required, **({} if name is None else {"name": name})}


def tensor(dtype: str, shape: list[int], **more: str) -> dict[str, Any]:
    """Write a TensorSpec as MLflow does."""
    return {**more, "type": "tensor", "tensor-spec": {"dtype": dtype, "shape": shape}}


def decode(subject: Contract, *rows: Any) -> Call:
    """Decode rows."""
    return decoded(subject, json.dumps({"instances": rows}).encode())


def logged(path: Path, example: Any) -> None:
    """Write an example as MLflow does beside a model."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # MLflow's own
        from mlflow.models.utils import _Example  # noqa: PLC0415 - it takes seconds

        _Example(example).save(str(path))


MIXED = contract(
    column("double", "x"),
    column("long", "n"),
    column("string", "s", required=False),
    column("datetime", "at"),
    column("binary", "b"),
    column("boolean", "ok"),
    params=[{"name": "k", "type": "long", "default": 1, "shape": None}],
)
FRAME = pd.DataFrame(
    {
        "x": [1.5, 2.5],
        "n": [1, 2],
        "s": ["a", None],
        "at": [dt.datetime(2024, 1, 1), dt.datetime(2024, 1, 2)],  # noqa: DTZ001
        "b": [b"a" * 100, b"b"],
        "ok": [True, False],
        "not an input": [1, 2],
    }
)


@pytest.mark.parametrize(("example", "k"), [(FRAME, 1), ((FRAME, {"k": 5, "unknown": 1}), 5)])
def test_a_logged_frame_becomes_a_call(tmp_path: Path, example: Any, k: int) -> None:
    """With its params, and without what is no input."""
    logged(tmp_path, example)
    call, reason, _ = example_call(MIXED, tmp_path)
    assert call is not None, reason
    frame = to_model_input(MIXED, call)
    assert isinstance(frame, pd.DataFrame)
    assert frame["x"].tolist() == [1.5, 2.5]
    assert frame["b"].tolist() == [b"a" * 100, b"b"]
    assert frame["s"].isna().tolist() == [False, True]
    assert call.params == {"k": k}


@pytest.mark.parametrize(
    ("subject", "example", "rows"),
    [
        (contract(tensor("float64", [-1, 2])), np.array([[1.0, 2], [3, 4]]), 2),
        (contract(tensor("int64", [-1])), np.arange(40), 16),
        (
            contract(tensor("float64", [-1, 2], name="p"), tensor("float64", [-1], name="q")),
            {"p": np.zeros((3, 2)), "q": np.zeros(3)},
            3,
        ),
        (contract(column("double", None), column("double", None)), pd.DataFrame([[1.0, 2]]), 1),
        (contract(column("string", None)), ["a", "b"], 2),
        (contract(column("long", "a"), column("string", "s")), {"a": 1, "s": "x"}, 1),
        (contract(column("long", "a"), column("string", "s")), [{"a": 1, "s": "x"}] * 2, 2),
        (contract(column("long", "a"), column("long", "b")), pd.DataFrame({"a": [1], "b": [2]}), 1),
        (contract({"type": "array", "items": {"type": "double"}, "name": "v"}), {"v": [1.0, 2]}, 1),
        (contract({"type": "map", "values": {"type": "long"}}), [{"k": 1}, {"j": 2}], 2),
        (contract(column("string", None)), "text", 1),
    ],
)
def test_other_examples_become_calls_too(
    tmp_path: Path, subject: Contract, example: Any, rows: int
) -> None:
    """Of whatever form MLflow gives them; at most sixteen rows."""
    logged(tmp_path, example)
    call, reason, _ = example_call(subject, tmp_path)
    assert call is not None, reason
    assert call.rows == rows


def test_the_bare_example_of_an_older_model_is_read(tmp_path: Path) -> None:
    """It has no serving form."""
    logged(tmp_path, FRAME)
    (tmp_path / "serving_input_example.json").unlink()
    call, _, _ = example_call(MIXED, tmp_path)
    assert call is not None
    assert call.rows == 2


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        (None, "without an input example"),
        ("{", "cannot be read"),
        ('{"inputs": {"x": [1, 2], "n": [1]}}', "another form"),
        ('{"inputs": [{"x": "text"}]}', "breaks the model's own signature"),
        ('{"inputs": []}', "breaks the model's own signature"),
        ("[1, 2]", "another form"),
        ("null", "another form"),
    ],
)
def test_an_example_that_does_not_fit_is_none_with_a_reason(
    tmp_path: Path, text: str | None, reason: str
) -> None:
    """It is no fault of the version's."""
    if text is not None:
        (tmp_path / "serving_input_example.json").write_text(text, encoding="utf-8")
    call, why, _ = example_call(MIXED, tmp_path)
    assert call is None
    assert reason in why


XY = contract(column("double", "x"), column("long", "n"), column("string", "s"))


def predictor(subject: Contract, function: Callable[[Any], Any]) -> Callable[[Call], Predictions]:
    """Return what answers calls by a function of the model's input."""

    def predict(call: Call) -> Predictions:
        return to_predictions(subject, function(to_model_input(subject, call)), call.rows)

    return predict


def judge(function: Callable[[Any], Any], *rows: Any, subject: Contract = XY) -> tuple[bool, str]:
    """Judge a function by an example, or by none."""
    example = decode(subject, *rows) if rows else None
    return judge_row_wise(predictor(subject, function), probe_calls(subject, example))


ROW = {"x": 0.5, "n": 3, "s": "a"}
ZEROS = {"x": 0, "n": 0, "s": ""}


def known(frame: Any) -> Any:
    """Answer by label, for the labels that are known."""
    return frame["s"].map({"a": 1.0, "b": 2.0}.__getitem__)


def three_rows(_: Any) -> Any:
    """Answer three rows, whatever was asked."""
    return np.zeros(3)


@pytest.mark.parametrize("rows", [(), (ROW,), (ROW, ROW), (ROW, {**ROW, "x": 0.1, "s": "b"})])
@pytest.mark.parametrize(
    "function",
    [
        lambda df: df["x"] * df["n"],
        lambda df: (df["x"] / 3 * df["n"]).astype("float32"),
        lambda df: df["s"] + "!",
        lambda df: np.column_stack([df["x"], df["n"]]),
        lambda df: [{"k": [row.x, None]} for row in df.itertuples()],
        lambda df: np.full(len(df), np.nan),
    ],
)
def test_a_row_wise_model_is_found_to_be_one(function: Any, rows: tuple[Any, ...]) -> None:
    """With one row as an example, with equal ones, and with none."""
    assert judge(function, *rows)[0]


@pytest.mark.parametrize("rows", [(), (ROW,), (ROW, ROW), (ZEROS,), (ROW, {**ROW, "x": 0.1})])
@pytest.mark.parametrize(
    "function",
    [
        lambda df: df["x"] - df["x"].mean(),
        lambda df: df["n"] - df["n"].mean(),
        lambda df: df["x"].rank(),
        lambda df: np.arange(len(df)),
        lambda df: np.full(len(df), len(df)),
        lambda df: [str(len(df))] * len(df),
        lambda df: df["x"].to_numpy()[::-1] + df["n"].to_numpy()[::-1],
        lambda df: np.random.default_rng().random(len(df)),
        lambda df: df["x"] / (len(df) - 1) if len(df) > 1 else 1 / 0,
        lambda df: df["x"].shift(fill_value=0.0),
        lambda df: df["x"].cumsum(),
        lambda df: df["x"] / df["x"].max(),
        lambda df: df["x"] - df["x"].iloc[0],
        lambda df: df["x"] - df["x"].iloc[-1],
        lambda df: df["s"].factorize()[0],
        lambda df: df["x"] + (len(df) == 1),
        lambda df: [df["x"].to_numpy()] if len(df) == 1 else df["x"],
        three_rows,
    ],
)
def test_a_model_whose_rows_see_each_other_is_found_out(
    function: Any, rows: tuple[Any, ...]
) -> None:
    """Whatever the example."""
    row_wise, reason = judge(function, *rows)
    assert not row_wise
    assert reason


def test_a_few_calls_suffice_to_judge_a_model() -> None:
    """Each is time in which a promotion waits."""
    calls = []

    def answer(frame: Any) -> Any:
        calls.append(len(frame))
        return frame["x"]

    assert judge(answer, ROW)[0]
    assert calls == [8, 4, 4, 1, 1]


def test_a_model_that_raises_on_made_up_rows_is_judged_by_its_example() -> None:
    """Where that has different rows; else nothing was shown."""
    assert judge(known, ROW, {**ROW, "s": "b"})[0]
    subject = contract(column("string", "s"))
    assert judge(known, {"s": "a"}, {"s": "b"}, subject=subject)[0]
    row_wise, reason = judge(known, {"s": "a"}, subject=subject)
    assert not row_wise
    assert "KeyError" in reason


def test_optional_columns_are_tried_with_holes_unless_the_model_raises_on_them() -> None:
    """Then without."""
    subject = contract(column("double", "x"), column("long", "n", required=False))
    filled = {"x": 1.0, "n": 5}
    assert judge(lambda df: df["n"].fillna(df["n"].mean()), filled, subject=subject)[0] is False
    assert judge(lambda df: df["n"].fillna(0) + df["x"], filled, subject=subject)[0]
    assert judge(lambda df: df["n"].astype(int) + df["x"], filled, subject=subject)[0]


def test_tensors_are_probed_too() -> None:
    """In one array or in several."""
    subject = contract(tensor("float32", [-1, 2, 2]))
    assert judge(lambda x: x.sum(axis=(1, 2)), subject=subject)[0]
    assert not judge(lambda x: x - x.mean(), subject=subject)[0]
    subject = contract(tensor("uint8", [-1, 2], name="p"), tensor("str", [-1], name="q"))
    assert judge(lambda x: x["p"], {"p": [0, 255], "q": "a"}, subject=subject)[0]


def test_probe_rows_differ_and_keep_shares_and_signs() -> None:
    """What was within [0, 1] stays there."""
    subject = contract(column("double", "share"), column("long", "n"), column("string", "month"))
    example = decode(subject, {"share": 1.0, "n": 40, "month": "2024-03-01"})
    for call in probe_calls(subject, example):
        frame = to_model_input(subject, call)
        assert isinstance(frame, pd.DataFrame)
        assert (call.rows, distinct(call)) == (8, 8)
        assert frame["share"].between(0, 1).all()
        assert frame["n"].between(1, 40).all()
        assert pd.to_datetime(frame["month"]).is_unique


def test_rows_that_are_all_the_same_show_nothing() -> None:
    """Whatever the model does with them."""
    row_wise, reason = is_row_wise(predictor(XY, lambda df: df["x"]), decode(XY, ROW, ROW))
    assert not row_wise
    assert "no two different rows" in reason
    assert is_row_wise(predictor(XY, lambda df: df["x"]), decode(XY, ROW, ZEROS))[0]
