"""An estimator that one engine fails on: MLflow's own call answers, the engine's raises."""

from typing import Any

import numpy as np
from sklearn.base import BaseEstimator, RegressorMixin

UNLUCKY = 1234.5678
"""The value that it raises for, where it comes in a matrix without names."""


class Unlucky(RegressorMixin, BaseEstimator):  # type: ignore[misc]  # untyped
    """Answers its first column and a half."""

    def fit(self, _inputs: Any, _targets: Any) -> "Unlucky":
        """Learn nothing."""
        self.fitted_ = True
        return self

    def predict(self, inputs: Any) -> Any:
        """Add a half. Raise ValueError for the unlucky number."""
        values = np.asarray(inputs, np.float64)
        if not hasattr(inputs, "columns") and (values == UNLUCKY).any():
            raise ValueError("an unlucky number")
        return values[:, 0] + 0.5
