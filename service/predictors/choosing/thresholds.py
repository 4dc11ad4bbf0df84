"""Rows at the thresholds of a model's trees, and on either side of them."""

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

from service.contracts.contract import Call, Contract
from service.contracts.merge import take
from service.predictors.engines.columns import is_number
from service.predictors.engines.engine import Array, Transform

Thresholds = dict[int, Array]
"""For each feature of the estimator's input the thresholds that its trees compare it with."""

_PER_FEATURE = 40
MOST_ROWS = 20_000
_MOST_NODES = 2_000_000
"""Thresholds are chosen from so many nodes: the first trees of a huge forest will do."""


def thresholds_of(estimator: Any) -> Thresholds:
    """Return what scikit-learn's trees compare with, {} for other models."""
    features, values, count = [], [], 0
    for feature, threshold in _splits(estimator):
        inner = (feature >= 0) & np.isfinite(threshold)
        features.append(np.asarray(feature)[inner])
        values.append(np.asarray(threshold)[inner])
        count += len(feature)
        if count > _MOST_NODES:
            break
    if not features:
        return {}
    at, value = np.concatenate(features), np.concatenate(values)
    return {int(one): np.unique(value[at == one]) for one in np.unique(at)}


def _splits(estimator: Any) -> Iterator[tuple[Array, Array]]:
    if hasattr(estimator, "tree_"):
        yield estimator.tree_.feature, estimator.tree_.threshold
    elif hasattr(estimator, "_predictors"):  # histogram gradient boosting
        for predictor in (one for several in estimator._predictors for one in several):  # noqa: SLF001
            nodes = predictor.nodes[predictor.nodes["is_leaf"] == 0]
            yield nodes["feature_idx"], nodes["num_threshold"]
    else:
        for inner in np.ravel(getattr(estimator, "estimators_", [])):
            yield from _splits(inner)


def around(values: Array) -> Array:
    """Return values and their neighbours, in doubles and in single precision."""
    single = values.astype(np.float32)
    steps = [values, np.nextafter(values, np.inf), np.nextafter(values, -np.inf)]
    steps += [single, np.nextafter(single, np.float32(np.inf))]
    steps += [np.nextafter(single, np.float32(-np.inf))]
    return np.concatenate([step.astype(np.float64) for step in steps])


def feature_rows(
    thresholds: Thresholds, matrix: Array, rng: np.random.Generator, most_rows: int = MOST_ROWS
) -> Array:
    """Return rows of a matrix, each with one feature near one of its thresholds.

    At most `most_rows`, unless there are more features.
    """
    rows: list[Array] = []
    count = _count(len(thresholds), len(around(np.zeros(1))), most_rows)
    for feature, values in thresholds.items():
        near = around(_some(values, count, rng))
        picked = np.array(matrix[rng.integers(0, len(matrix), len(near))], np.float64)
        picked[:, feature] = near
        rows.append(picked)
    return np.concatenate(rows) if rows else np.array(matrix, np.float64)


def call_rows(
    thresholds: Thresholds,
    contract: Contract,
    transform: Transform,
    usual: Call,
    rng: np.random.Generator,
    most_rows: int = MOST_ROWS,
) -> list[Call]:
    """Return calls of rows with one column near a threshold that its feature is compared with.

    A feature that is an affine function of one column (scaled, or passed on) can be turned back
    into that column; others are not tried here.
    """
    calls = []
    known = [
        (index, feature, back)
        for index, feature, back in _affine(contract, transform, take(usual, [0]))
        if feature in thresholds
    ]
    count = _count(len(known), 3 * len(around(np.zeros(1))), most_rows)
    for index, feature, back in known:
        spec = contract.inputs[index]
        near = around(back(_some(thresholds[feature], count, rng)))
        if np.dtype(spec.dtype).kind in "iu":
            limits = np.iinfo(spec.dtype)
            floor = np.floor(np.clip(near, limits.min / 2, limits.max / 2))
            near = np.concatenate([floor, floor + 1])
        column = np.concatenate([near, np.nextafter(near, np.inf), np.nextafter(near, -np.inf)])
        base = take(usual, rng.integers(0, usual.rows, len(column)).tolist())
        columns: list[Any] = list(base.columns)
        columns[index] = column.astype(spec.dtype).tobytes()
        calls.append(Call(len(column), columns, usual.params))
    return calls


def _affine(
    contract: Contract, transform: Transform, row: Call
) -> Iterator[tuple[int, int, Callable[[Array], Array]]]:
    """Give each column and feature that belong together, and what turns the feature back."""
    for index, spec in enumerate(contract.inputs):
        if not (is_number(spec) and spec.dtype) or spec.dtype == "bool":
            continue
        base = take(row, [0, 0, 0, 0])
        columns: list[Any] = list(base.columns)
        values = np.array([0.0, 1.0, 2.0, 64.0])
        columns[index] = values.astype(spec.dtype).tobytes()
        try:
            matrix = np.asarray(transform(Call(4, columns, row.params)), np.float64)
        except Exception:  # noqa: BLE001, S112 - a column that takes no such numbers
            continue
        slopes = matrix[1] - matrix[0]
        straight = np.isclose(matrix[3], matrix[0] + 64 * slopes, rtol=1e-6, atol=0)
        for feature in np.flatnonzero((slopes != 0) & straight).tolist():
            yield index, feature, _line_back(float(slopes[feature]), float(matrix[0, feature]))


def _line_back(slope: float, start: float) -> Callable[[Array], Array]:
    return lambda values: (values - start) / slope


def _count(features: int, rows_each: int, most_rows: int) -> int:
    """Return how many thresholds of each feature are tried, so that the rows are not too many."""
    return max(1, min(_PER_FEATURE, most_rows // max(1, features * rows_each)))


def _some(values: Array, count: int, rng: np.random.Generator) -> Array:
    return values if len(values) <= count else rng.choice(values, count, replace=False)
