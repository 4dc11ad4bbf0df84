"""Find out how MLflow writes what a model answers, by comparing both ways on the same rows."""

import json
import math
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from service.codecs.codec import AnswerForm
from service.codecs.scoring.body import is_plain
from service.codecs.scoring.codec import PlainScoring, written
from service.contracts.contract import Call, Contract
from service.contracts.merge import take
from service.core.errors import ServiceError
from service.predictors.proving.row_wise import Predict

TRUSTED = frozenset({"mlflow.sklearn", "mlflow.xgboost", "mlflow.lightgbm"})
"""MLflow's loaders of models whose answers have one type, whatever their rows are."""
_ROWS = 3
_RTOL = 1e-9
"""The larger this is, the less alike the numbers of both ways have to be."""


def form_of_answers(
    contract: Contract,
    loader_module: str,
    predict: Predict,
    score: Callable[[bytes], bytes],
    example: Call | None,
) -> AnswerForm | None:
    """Return how MLflow writes a model's answers; None where that, or a body, is not certain.

    `score` answers a JSON body by MLflow's own code. Both ways are asked the example's rows, one
    alone and some together.
    """
    if example is None or loader_module not in TRUSTED or not is_plain(contract):
        return None
    calls = [take(example, [0]), take(example, [row % example.rows for row in range(_ROWS)])]
    try:
        return next(form for form in AnswerForm if _holds(contract, form, predict, score, calls))
    except (StopIteration, ServiceError):
        return None


def _holds(
    contract: Contract,
    form: AnswerForm,
    predict: Predict,
    score: Callable[[bytes], bytes],
    calls: Sequence[Call],
) -> bool:
    """Tell whether both ways read the same rows of a body, and write the same answers."""
    codec = PlainScoring(contract, form)
    for call in calls:
        body = _body(contract, call)
        if codec.decode(body)[0] != call:
            return False
        predictions = predict(call)
        if predictions.non_finite:
            return False
        try:
            ours = json.loads(written(predictions, 0, predictions.rows, form))
        except (TypeError, ValueError, AttributeError):
            return False
        if not _are_alike(ours, json.loads(score(body))["predictions"]):
            return False
    return True


def _body(contract: Contract, call: Call) -> bytes:
    """Return the body that a call was made of, as MLflow's clients send it."""
    columns = [
        np.frombuffer(column, spec.dtype).tolist() if isinstance(column, bytes) else column
        for spec, column in zip(contract.inputs, call.columns, strict=True)
    ]
    names = [spec.name for spec in contract.inputs]
    data = [list(row) for row in zip(*columns, strict=True)]
    return json.dumps({"dataframe_split": {"columns": names, "data": data}}).encode()


def _are_alike(ours: Any, theirs: Any) -> bool:
    """Tell whether two JSON values are the same, numbers but for the last digits."""
    if isinstance(ours, float) and isinstance(theirs, float):
        return math.isclose(ours, theirs, rel_tol=_RTOL, abs_tol=0.0)
    if type(ours) is not type(theirs):
        return False
    if isinstance(ours, list):
        return len(ours) == len(theirs) and all(map(_are_alike, ours, theirs))
    if isinstance(ours, dict):
        return list(ours) == list(theirs) and all(map(_are_alike, ours.values(), theirs.values()))
    return bool(ours == theirs)
