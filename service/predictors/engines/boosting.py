"""Call what scikit-learn's gradient boosting calls once it has checked its input."""

from pathlib import Path
from typing import Any

import numpy as np
from sklearn.ensemble import (
    GradientBoostingClassifier,
    GradientBoostingRegressor,
    HistGradientBoostingClassifier,
    HistGradientBoostingRegressor,
)

from service.predictors.engines.engine import Array, BeyondError, Estimate, SkippedError
from service.predictors.engines.forest import as_float32
from service.predictors.engines.model_parts import ModelParts

_EXACT = (GradientBoostingRegressor, GradientBoostingClassifier)
_BINNED = (HistGradientBoostingRegressor, HistGradientBoostingClassifier)


class Boosting:
    """See Engine."""

    def convert(self, parts: ModelParts, folder: Path) -> None:
        """Write nothing: the trees are the model's own."""
        del folder
        kind, method = type(parts.estimator), parts.method
        if kind not in {*_EXACT, *_BINNED}:
            raise SkippedError(f"{kind.__name__} is no gradient boosting of scikit-learn's")
        if method not in {"predict", "predict_proba"}:
            raise SkippedError(f"its predict_fn is {method}")
        if kind in _BINNED and parts.estimator.is_categorical_ is not None:
            raise SkippedError("it encodes categories of its own")

    def open(self, parts: ModelParts, folder: Path, threads: int) -> Estimate:
        """Return the model; see Engine."""
        del folder
        estimator = parts.estimator
        binned = type(estimator) in _BINNED
        raw = _binned(estimator, threads) if binned else _exact(estimator)
        loss, classes = estimator._loss, getattr(estimator, "classes_", None)  # noqa: SLF001

        def values(matrix: Array) -> Any:
            found = raw(matrix)
            return loss.link.inverse(found[:, 0]) if binned else found.ravel()

        def labels(matrix: Array) -> Any:
            found = raw(matrix)
            if found.shape[1] == 1:
                # A score of 0 is the second class to the one, and the first to the other.
                chosen = (found[:, 0] > 0 if binned else found[:, 0] >= 0).astype(int)
            else:
                chosen = np.argmax(found, axis=1)
            return classes.take(chosen, axis=0)  # type: ignore[union-attr]

        if classes is None:
            return values
        if parts.method == "predict":
            return labels
        return lambda matrix: loss.predict_proba(raw(matrix))


def _exact(estimator: Any) -> Estimate:
    predict = estimator._raw_predict  # noqa: SLF001 - what `predict` calls after its checks

    def raw(matrix: Array) -> Any:
        return predict(as_float32(matrix, takes_nan=False))

    return raw


def _binned(estimator: Any, threads: int) -> Estimate:
    iterate, predictors = estimator._predict_iterations, estimator._predictors  # noqa: SLF001
    baseline, width = estimator._baseline_prediction, estimator.n_trees_per_iteration_  # noqa: SLF001

    def raw(matrix: Array) -> Any:
        features = np.ascontiguousarray(matrix, np.float64)
        if np.isinf(features).any():
            raise BeyondError("a feature is infinite")
        total = np.zeros((len(features), width), baseline.dtype, order="F")
        total += baseline
        iterate(features, predictors, total, False, threads)  # noqa: FBT003 - is_binned
        return total

    return raw
