"""What is found of a model before it serves."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from service.contracts.choose import contract_for
from service.contracts.contract import Call, Predictions
from service.contracts.merge import take
from service.core.errors import ModelFailedError
from service.predictors.inputs import to_model_input
from service.predictors.outputs import to_predictions
from service.predictors.proving import trial
from service.predictors.proving.trial import (
    Answered,
    Rows,
    Timed,
    Watched,
    rows_to_try,
    time_calls,
    try_to_answer,
)
from tests.support.envelopes import decoded

CONTRACT = contract_for(
    "m",
    {
        "inputs": [{"type": "double", "name": "x", "required": True}],
        "outputs": [{"type": "double", "name": "y", "required": True}],
    },
    refuse_unknown=False,
)
EXAMPLE = decoded(CONTRACT, b'{"instances": [{"x": 1}, {"x": 2}]}')
OWN = Rows(EXAMPLE, "its input example", "")
NONE = Rows(None, "", "it has none")
QUICK_S, SLOW_S = 0.001, 0.3


class Clock:
    """Goes on by what a model takes, and by nothing else."""

    def __init__(self) -> None:
        self.now_s = 0.0

    def perf_counter(self) -> float:
        """Return what it shows."""
        return self.now_s

    def takes(self, seconds: float, function: Callable[[Any], Any]) -> Callable[[Any], Any]:
        """Return a function whose calls take so long."""

        def timed(x: Any) -> Any:
            self.now_s += seconds
            return function(x)

        return timed


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    """Have trials timed by a clock that no other work on this machine moves."""
    clock = Clock()
    monkeypatch.setattr(trial, "time", clock)
    return clock


def answering(function: Callable[[Any], Any]) -> Callable[[Call], Predictions]:
    """Return what answers calls by a function of x, and raises as a worker does."""

    def predict(call: Call) -> Predictions:
        frame: Any = to_model_input(CONTRACT, call)
        try:
            output = function(frame["x"])
        except ArithmeticError as error:
            raise ModelFailedError("the model raised it") from error
        return to_predictions(CONTRACT, output, call.rows)

    return predict


def try_it(function: Callable[[Any], Any], rows: Rows = OWN) -> Answered:
    """Have a function of x tried."""
    return try_to_answer(CONTRACT, answering(function), rows)


def boom(_: Any) -> Any:
    """Raise."""
    raise ZeroDivisionError


def nan(x: Any) -> Any:
    """Answer no number."""
    return x * np.nan


def short(x: Any) -> Any:
    """Answer one row too few."""
    return x[1:]


def logged(folder: Path, *values: float) -> Path:
    """Write an example as MLflow does."""
    folder.mkdir()
    document = {"dataframe_split": {"columns": ["x"], "data": [[value] for value in values]}}
    (folder / "serving_input_example.json").write_text(json.dumps(document), "utf-8")
    return folder


def test_the_own_example_comes_first_then_the_incumbents(tmp_path: Path) -> None:
    """Without both there is a reason."""
    own, other = logged(tmp_path / "own", 1, 2), logged(tmp_path / "other", 3)
    bare = tmp_path / "bare"
    bare.mkdir()
    shown = b'{"instances": [{"x": 1}, {"x": 2}]}'
    assert rows_to_try(CONTRACT, own, other) == OWN._replace(shown=shown)
    found = rows_to_try(CONTRACT, bare, other)
    assert found.example is not None
    assert (found.example.rows, found.whose) == (1, "the incumbent's input example")
    for incumbent in (None, bare):
        found = rows_to_try(CONTRACT, bare, incumbent)
        assert (found.example, found.none_because) == (
            None,
            "the model was logged without an input example",
        )


def test_a_model_that_answers_its_example_is_judged() -> None:
    """By as many rows as it has."""
    answered = try_it(lambda x: x + 1)
    assert (answered.whose, answered.rows, answered.refusal) == ("its input example", 2, "")
    assert answered.row_wise
    assert not try_it(lambda x: x - x.mean()).row_wise


@pytest.mark.parametrize(
    ("function", "refusal"),
    [
        (boom, "it does not answer its input example: the model raised it"),
        (nan, "its answer to row 0 of its input example is not finite"),
        (lambda x: np.where(x > 1, np.inf, x), "row 1 of its input example is not finite"),
        (short, "1 values of 'y' for 2 rows"),
        (
            lambda x: np.column_stack([x, x]),
            "y has 2 values a row, and its signature says one value",
        ),
    ],
)
def test_an_example_has_to_be_answered(function: Any, refusal: str) -> None:
    """Whole, and with finite numbers."""
    answered = try_it(function)
    assert refusal in answered.refusal
    assert not answered.row_wise


def test_a_number_that_is_a_list_is_another_shape() -> None:
    """Though a data frame may hold lists."""
    refusal = try_it(lambda x: x.map(lambda value: [value, value])).refusal
    assert "y has several values a row, and its signature says one value" in refusal


def test_rows_that_are_made_up_have_to_be_answered_unless_they_are_nonsense() -> None:
    """A model may raise on them, or have no number for some."""
    answered = try_it(lambda x: x + 1, NONE)
    assert (answered.rows, answered.refusal, answered.row_wise) == (8, "", True)
    assert answered.whose == "an example made up from its signature"
    assert try_it(lambda x: np.where(x < x.max(), x, np.nan), NONE).refusal == ""
    assert "all rows of an example made up" in try_it(nan, NONE).refusal
    assert "7 values of 'y' for 8 rows" in try_it(short, NONE).refusal
    assert try_it(boom, NONE) == Answered(
        "",
        0,
        "",
        row_wise=False,
        why="it has none; it raised ZeroDivisionError on an example made up from its signature, "
        "which may be nonsense to it",
    )


@pytest.mark.parametrize(
    ("shape", "output", "told"),
    [
        ([-1], lambda x: x.to_numpy(), ""),
        ([-1, 1], lambda x: x.to_numpy().reshape(-1, 1), ""),
        ([-1, 2], lambda x: np.column_stack([x, x]), ""),
        ([-1, -1], lambda x: np.column_stack([x, x]), ""),
        (
            [-1, 3],
            lambda x: np.column_stack([x, x]),
            "2 values a row, and its signature says 3",
        ),
        ([-1, 2], lambda x: x.to_numpy(), "has one value a row, and its signature says 2"),
    ],
)
def test_a_tensor_has_the_shape_of_its_signature(shape: list[int], output: Any, told: str) -> None:
    """Where that fixes it."""
    signature = {
        **CONTRACT.signature,
        "outputs": [{"type": "tensor", "tensor-spec": {"dtype": "float64", "shape": shape}}],
    }
    contract = contract_for("m", signature, refuse_unknown=False)

    def predict(call: Call) -> Predictions:
        frame: Any = to_model_input(contract, call)
        return to_predictions(contract, output(frame["x"]), call.rows)

    for rows in (OWN, NONE):
        refusal = try_to_answer(contract, predict, rows).refusal
        assert told in refusal
        assert bool(refusal) is bool(told)


def timed(function: Callable[[Any], Any], rows: Rows = OWN) -> list[Timed]:
    """Have a function of x timed."""
    return time_calls(CONTRACT, answering(function), rows)


@pytest.mark.parametrize("rows", [OWN, NONE])
def test_a_model_is_timed_alone_and_in_company(clock: Clock, rows: Rows) -> None:
    """A few runs each, warm."""
    calls: list[int] = []

    def answer(x: Any) -> Any:
        calls.append(len(x))
        return x

    one, many = timed(clock.takes(QUICK_S, answer), rows)
    assert (one.rows, one.runs, many.rows, many.runs) == (1, 5, 64, 5)
    assert (one.seconds, many.seconds) == pytest.approx((QUICK_S, QUICK_S))
    assert calls == [1] * 6 + [64] * 6


def test_calls_of_one_row_that_were_timed_are_not_made_again(clock: Clock) -> None:
    """Those of a trial are taken, but for a cold one; company needs no warming up after it."""
    watched = Watched(answering(clock.takes(QUICK_S, lambda x: x)))
    watched(take(EXAMPLE, [0]))
    assert watched.lone_s == []
    assert try_to_answer(CONTRACT, watched, OWN).row_wise
    calls: list[int] = []

    def answer(x: Any) -> Any:
        calls.append(len(x))
        return x

    answered = answering(clock.takes(QUICK_S, answer))
    one, many = time_calls(CONTRACT, answered, OWN, watched.lone_s)
    assert (one.rows, one.runs, many.rows, many.runs) == (1, 2, 64, 5)
    assert one.seconds == pytest.approx(QUICK_S)
    assert calls == [64] * 5


def test_timing_a_slow_model_takes_no_more_than_a_call_of_each_size(clock: Clock) -> None:
    """It is timed cold, and with fewer rows where they would take too long one by one."""
    one, many = timed(clock.takes(SLOW_S, lambda x: x))
    assert (one.rows, one.runs, many.rows, many.runs) == (1, 1, 4, 1)
    assert clock.now_s == pytest.approx(2 * SLOW_S)


@pytest.mark.usefixtures("clock")
def test_what_raises_is_not_timed() -> None:
    """In company, alone, or at all."""
    assert [t.rows for t in timed(lambda x: x if len(x) == 1 else boom(x))] == [1]
    assert [t.rows for t in timed(lambda x: x if len(x) == 64 else boom(x))] == [64]
    assert [t.rows for t in timed(lambda x: x if len(x) == 2 else boom(x))] == [2]
    assert timed(boom) == []


def test_a_model_that_answers_another_number_of_rows_is_refused() -> None:
    """On its example, a part of it, or rows that are made up; the reason says what to set."""

    def of_two(_: Any) -> Any:
        return np.array([1.0, 2.0])

    for rows in (OWN, NONE):
        assert "ROWS_OUT=any" in try_it(short, rows).refusal
    # As many as its example has, whatever it gets.
    assert "ROWS_OUT=any" in try_it(of_two).refusal
    assert "ROWS_OUT=any" in try_it(of_two, NONE).refusal


def test_a_model_that_takes_one_row_is_tried_on_one() -> None:
    """Though it raises on more."""

    def forecast(x: Any) -> Any:
        if len(x) > 1:
            raise ZeroDivisionError
        return np.arange(3.0)

    assert "ROWS_OUT=any" in try_it(forecast, NONE).refusal


def test_any_number_of_rows_is_answered_where_that_is_allowed() -> None:
    """And nothing of it is batched."""

    def predict(call: Call) -> Predictions:
        return to_predictions(CONTRACT, np.arange(3.0 * call.rows), None)

    for rows in (OWN, NONE):
        found = try_to_answer(CONTRACT, predict, rows, any_rows=True)
        assert (found.refusal, found.row_wise) == ("", False)
        assert "ROWS_OUT=any" in found.why


def test_a_model_with_a_column_of_any_type_is_not_batched() -> None:
    """Pandas gives the column a type by all rows."""
    contract = contract_for("m", {"inputs": [{"type": "any", "name": "v"}]}, refuse_unknown=False)

    def predict(call: Call) -> Predictions:
        return to_predictions(contract, np.ones(call.rows), call.rows)

    example = decoded(contract, b'{"instances": [{"v": 1}, {"v": "a"}]}')
    assert not try_to_answer(contract, predict, Rows(example, "its own", "")).row_wise
