"""Answer as a linear model does: one product and a sum, by the same numpy calls."""

from pathlib import Path
from typing import Any

import numpy as np
from sklearn.linear_model import (
    BayesianRidge,
    ElasticNet,
    ElasticNetCV,
    Lasso,
    LassoCV,
    LinearRegression,
    LogisticRegression,
    LogisticRegressionCV,
    Ridge,
    RidgeClassifier,
    RidgeCV,
    SGDClassifier,
    SGDRegressor,
)
from sklearn.svm import LinearSVC, LinearSVR

from service.predictors.engines.engine import Array, BeyondError, Estimate, SkippedError
from service.predictors.engines.model_parts import ModelParts

_REGRESSORS = (
    BayesianRidge,
    ElasticNet,
    ElasticNetCV,
    Lasso,
    LassoCV,
    LinearRegression,
    LinearSVR,
    Ridge,
    RidgeCV,
    SGDRegressor,
)
_CLASSIFIERS = (
    LinearSVC,
    LogisticRegression,
    LogisticRegressionCV,
    RidgeClassifier,
    SGDClassifier,
)


class Linear:
    """See Engine."""

    def convert(self, parts: ModelParts, folder: Path) -> None:
        """Write nothing: the coefficients are the model's own."""
        del folder
        kind, method = type(parts.estimator), parts.method
        if kind not in {*_REGRESSORS, *_CLASSIFIERS}:
            raise SkippedError(f"{kind.__name__} is no linear model")
        if method != "predict":
            raise SkippedError(f"its {method} is more than one product")

    def open(self, parts: ModelParts, folder: Path, threads: int) -> Estimate:
        """Return the model; see Engine."""
        del folder, threads
        estimator = parts.estimator
        coefficients = np.asarray(estimator.coef_)
        transposed, intercept = coefficients.T, estimator.intercept_
        classes = getattr(estimator, "classes_", None)

        def scores(matrix: Array) -> Array:
            features = matrix if matrix.dtype.kind == "f" else matrix.astype(np.float64)
            if not np.isfinite(features).all():
                raise BeyondError("a feature is not finite")
            product: Array = features @ transposed + intercept
            return product

        if classes is None:
            return scores

        def label(matrix: Array) -> Any:
            found = scores(matrix)
            if found.ndim > 1 and found.shape[1] == 1:
                found = found[:, 0]
            chosen = (found > 0).astype(np.intp) if found.ndim == 1 else found.argmax(axis=1)
            return classes.take(chosen, axis=0)

        return label
