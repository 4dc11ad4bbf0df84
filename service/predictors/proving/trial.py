"""Try a loaded model before it serves: does it answer, are its rows its own, how fast is it."""

import statistics
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

from service.contracts.contract import Call, Contract, Predictions
from service.contracts.merge import take
from service.contracts.mlflow_types import SCALARS
from service.core.errors import ServiceError
from service.predictors.examples import example_call, made_up_call
from service.predictors.outputs import ModelOutputError, RowCountError
from service.predictors.proving.row_wise import Predict, is_row_wise, judge_row_wise, probe_calls

_TIMED_ROWS = (64, 16, 4)
_TIMED_BYTES = 32_000_000
_RUNS = 5
_ENOUGH_S = 0.03
"""Runs of one size end after so long, or after `_RUNS` of them."""
_SLOW_S = 0.25
"""A first call that takes this long is timed as it is, cold."""
_BUDGET_S = 2.0
_OPEN_COLUMN = "a column of any type gets one from pandas, by all rows that come together"
_ANY_ROWS = "it may answer any number of rows (ROWS_OUT=any)"


class Rows(NamedTuple):
    """Rows to try a model on: an example and whose it is, or why there is none.

    `shown` is the model's own example as a body for people, if it has one that is short.
    """

    example: Call | None
    whose: str
    none_because: str
    shown: bytes = b""


class Answered(NamedTuple):
    """How a model answered: so many rows of whose, `refusal` '' where nothing is wrong.

    No rows where there was nothing to try it on, which `why` says.
    """

    whose: str
    rows: int
    refusal: str
    row_wise: bool
    why: str


class Timed(NamedTuple):
    """What one call with so many rows took: the median of some runs."""

    rows: int
    seconds: float
    runs: int


class Watched:
    """A prediction function that notes how long its calls of one row take, once it is warm."""

    def __init__(self, predict: Predict) -> None:
        self._predict = predict
        self._is_warm = False
        self.lone_s: list[float] = []

    def __call__(self, call: Call) -> Predictions:
        """Answer a call."""
        began = time.perf_counter()
        predictions = self._predict(call)
        if call.rows == 1 and self._is_warm:
            self.lone_s.append(time.perf_counter() - began)
        self._is_warm = True
        return predictions


def rows_to_try(contract: Contract, own: Path, incumbent: Path | None) -> Rows:
    """Return the example in the model's own folder, or else the one in the incumbent's."""
    found = example_call(contract, own)
    if found.call is not None:
        return Rows(found.call, "its input example", "", found.shown)
    if incumbent is not None:
        theirs = example_call(contract, incumbent)
        if theirs.call is not None:
            return Rows(theirs.call, "the incumbent's input example", found.reason)
    return Rows(None, "", found.reason)


def try_to_answer(
    contract: Contract, predict: Predict, rows: Rows, *, any_rows: bool = False
) -> Answered:
    """Have a model answer an example, or rows that are made up, and see whether it is row-wise.

    An example has to be answered. On rows that are made up a model may raise, or have no finite
    answer to some: they may be nonsense to it. With `any_rows` it may answer another number of
    rows than it gets, and its rows can't be told apart.
    """
    if rows.example is None:
        return _try_made_up(contract, predict, rows.none_because, any_rows=any_rows)
    count = rows.example.rows
    if refusal := _refusal(contract, predict, rows.example, rows.whose):
        return Answered(rows.whose, count, refusal, row_wise=False, why="")
    if any_rows or _has_open_column(contract):
        why = _ANY_ROWS if any_rows else _OPEN_COLUMN
        return Answered(rows.whose, count, "", row_wise=False, why=why)
    try:
        row_wise, why = judge_row_wise(predict, probe_calls(contract, rows.example))
    except RowCountError as error:
        refusal = f"of rows like those of {rows.whose}, {error}"
        return Answered(rows.whose, count, refusal, row_wise=False, why="")
    return Answered(rows.whose, count, "", row_wise, why)


def _has_open_column(contract: Contract) -> bool:
    return any(spec.type == "any" for spec in contract.inputs)


def time_calls(
    contract: Contract, predict: Predict, rows: Rows, lone_s: Sequence[float] = ()
) -> list[Timed]:
    """Time calls of one row, and of up to 64; none for those on which the model raises.

    Those of one row were timed already where `lone_s` has them, by a model that is warm by now.
    Takes two seconds at most, unless a single call takes longer.
    """
    base = rows.example or made_up_call(contract)
    if base is None:
        return []
    began = time.perf_counter()
    if lone_s:
        timed = [Timed(1, statistics.median(lone_s), len(lone_s))]
    else:
        timed = list(_time(predict, take(base, [0])))
    left_s = _BUDGET_S - (time.perf_counter() - began)
    # At worst a call takes as long as its rows one by one.
    row_s = timed[0].seconds if timed else 0.0
    row_bytes = sum(len(column) for column in base.columns if isinstance(column, bytes)) / base.rows
    for count in _TIMED_ROWS:
        if count * row_s <= left_s and count * row_bytes <= _TIMED_BYTES:
            many = take(base, [row % base.rows for row in range(count)])
            timed += _time(predict, many, is_warm=bool(lone_s))
            break
    # A tensor may have a fixed number of rows.
    return timed or list(_time(predict, base))


def _try_made_up(
    contract: Contract, predict: Predict, no_example: str, *, any_rows: bool
) -> Answered:
    whose = "an example made up from its signature"
    raised = "none can be made up from its signature"
    # One alone, too: there are models that take no more.
    alone = made_up_call(contract)
    for call in [*probe_calls(contract, None), *([alone] if alone else [])]:
        try:
            predictions = predict(call)
        except ModelOutputError as error:
            return Answered(whose, call.rows, f"on {whose}, {error}", row_wise=False, why="")
        except Exception as error:  # noqa: BLE001 - a model may raise anything
            name = type(error.__cause__ or error).__name__
            raised = f"it raised {name} on {whose}, which may be nonsense to it"
            continue
        refusal, row_wise, why = "", False, _ANY_ROWS if any_rows else _OPEN_COLUMN
        if len(predictions.non_finite) == call.rows:
            refusal = f"its answers to all rows of {whose} are not finite ({no_example})"
        elif misshapen := _misshapen(contract, predictions):
            refusal = f"its answer to {whose} has another shape: {misshapen}"
        elif not (any_rows or _has_open_column(contract)):
            try:
                row_wise, why = is_row_wise(predict, call)
            except RowCountError as error:
                refusal = f"of rows of {whose}, {error}"
        why = "" if refusal else f"{no_example}; {why}"
        return Answered(whose, call.rows, refusal, row_wise, why)
    return Answered("", 0, "", row_wise=False, why=f"{no_example}; {raised}")


def _refusal(contract: Contract, predict: Predict, example: Call, whose: str) -> str:
    """Say what is wrong with a model's answer to an example, '' where nothing is."""
    try:
        predictions = predict(example)
    except ServiceError as error:
        return f"it does not answer {whose}: {error}"
    if predictions.non_finite:
        return f"its answer to row {predictions.non_finite[0]} of {whose} is not finite"
    misshapen = _misshapen(contract, predictions)
    return f"its answer to {whose} has another shape: {misshapen}" if misshapen else ""


def _misshapen(contract: Contract, predictions: Predictions) -> str:
    """Say which output is not of the shape that the signature says, '' where all are."""
    raw = contract.signature["outputs"] or []
    tensors = {
        output.name: spec["tensor-spec"]["shape"][1:]
        for output, spec in zip(contract.outputs, raw, strict=False)
        if output.type == "tensor" and len(raw) == len(contract.outputs)
    }
    kinds = {output.name: output.type for output in contract.outputs}
    wanted: dict[str, list[int]] = {
        **{output.name: [] for output in contract.outputs if output.type in SCALARS},
        **{name: [] if shape == [1] else shape for name, shape in tensors.items()},
    }
    for name, column, shape in zip(
        predictions.names, predictions.columns, predictions.shapes, strict=True
    ):
        if name not in wanted:
            continue
        if isinstance(column, list):
            # Text may be anything; a number that is a list is another shape.
            nested = any(isinstance(value, list | dict) for value in column)
            if nested and kinds[name] not in {"string", "tensor"}:
                return f"{name} has several values a row, and its signature says one value"
            continue
        free = [size if size >= 0 else None for size in wanted[name]]
        if len(shape) != len(free) or any(
            size not in {found, None} for size, found in zip(free, shape, strict=True)
        ):
            return f"{name} has {_each(shape)} a row, and its signature says {_each(wanted[name])}"
    return ""


def _each(shape: list[int]) -> str:
    return f"{' x '.join(map(str, shape))} values" if shape else "one value"


def _time(predict: Predict, call: Call, *, is_warm: bool = False) -> Iterator[Timed]:
    """Yield what a call takes, warm; nothing for a call on which the model raises."""
    try:
        first_s = _seconds(predict, call)
        taken = [first_s] if is_warm or first_s > _SLOW_S else []
        while not taken or (len(taken) < _RUNS and sum(taken) < _ENOUGH_S):
            taken.append(_seconds(predict, call))
    except Exception:  # noqa: BLE001 - a model may raise anything
        return
    yield Timed(call.rows, statistics.median(taken), len(taken))


def _seconds(predict: Predict, call: Call) -> float:
    began = time.perf_counter()
    predict(call)
    return time.perf_counter() - began
