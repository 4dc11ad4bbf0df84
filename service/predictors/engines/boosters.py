"""Answer for XGBoost and LightGBM without the frames and matrices that they make of each call."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from service.predictors.engines.engine import Array, BeyondError, Estimate, SkippedError
from service.predictors.engines.libraries import require
from service.predictors.engines.model_parts import ModelParts

_FILE = "booster.treelite"


class XgboostInPlace:
    """XGBoost's own prediction of a matrix, without the frame and the copy of it; see Engine."""

    def convert(self, parts: ModelParts, folder: Path) -> None:
        """Write nothing: it is the model's own booster."""
        del folder
        if _library(parts.estimator) != "xgboost":
            raise SkippedError(f"{type(parts.estimator).__name__} is none of XGBoost's")
        _finish(parts.estimator, parts.method)

    def open(self, parts: ModelParts, folder: Path, threads: int) -> Estimate:
        """Return the booster; see Engine."""
        del folder, threads
        estimator = parts.estimator
        finish = _finish(estimator, parts.method)
        rounds = (0, 0)
        booster = estimator
        if hasattr(estimator, "get_booster"):
            booster = estimator.get_booster()
            # All rounds, or those up to the best one where it was stopped early.
            rounds = estimator._get_iteration_range(None)  # noqa: SLF001 - what `predict` asks
        predict = booster.inplace_predict

        def estimate(matrix: Array) -> Any:
            # Columns in another order it refuses by name, and then nothing was verified.
            found = predict(matrix, iteration_range=rounds, validate_features=False)
            return finish(found.reshape(len(matrix), -1))

        return estimate


class Boosters:
    """See Engine."""

    def convert(self, parts: ModelParts, folder: Path) -> None:
        """Write the booster as treelite has it."""
        estimator, method = parts.estimator, parts.method
        library = _library(estimator)
        _finish(estimator, method)
        frontend = require("treelite").frontend
        if library == "xgboost":
            booster = estimator.get_booster() if hasattr(estimator, "get_booster") else estimator
            model = frontend.from_xgboost(booster)
        else:
            model = frontend.from_lightgbm(getattr(estimator, "booster_", estimator))
        model.serialize(str(folder / _FILE))

    def open(self, parts: ModelParts, folder: Path, threads: int) -> Estimate:
        """Return the booster; see Engine."""
        del threads
        treelite = require("treelite")
        model = treelite.Model.deserialize(str(folder / _FILE))
        predict, finish = treelite.gtil.predict, _finish(parts.estimator, parts.method)
        dtype = np.float32 if _library(parts.estimator) == "xgboost" else np.float64

        def estimate(matrix: Array) -> Any:
            features = np.ascontiguousarray(matrix, dtype)
            if np.isinf(features).any():
                raise BeyondError("a feature is infinite")
            found = predict(model, features, nthread=1)
            return finish(found.reshape(len(features), -1))

        return estimate


def _library(estimator: Any) -> str:
    library = type(estimator).__module__.partition(".")[0]
    if library not in {"xgboost", "lightgbm"}:
        raise SkippedError(f"{type(estimator).__name__} is none of XGBoost's or LightGBM's")
    return library


def _finish(estimator: Any, method: str) -> Callable[[Array], Any]:
    """Return what makes an answer of values or of shares of classes, a row each."""
    classes = getattr(estimator, "classes_", None)
    if classes is None:
        if method != "predict":
            raise SkippedError(f"its predict_fn is {method}")
        return lambda found: found[:, 0] if found.shape[1] == 1 else found
    if method == "predict_proba":
        return _both
    if method != "predict":
        raise SkippedError(f"its predict_fn is {method}")
    labels = np.asarray(classes)

    def chosen(found: Array) -> Any:
        one = found.shape[1] == 1
        return labels.take(found[:, 0] > 0.5 if one else found.argmax(axis=1), axis=0)  # noqa: PLR2004

    return chosen


def _both(found: Array) -> Array:
    """Give both classes' shares where a booster tells the second one's alone."""
    return np.vstack((1 - found[:, 0], found[:, 0])).T if found.shape[1] == 1 else found
