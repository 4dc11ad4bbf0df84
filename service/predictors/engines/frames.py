"""Give a model's own transformer exactly the frame that MLflow would give it."""

import copy
from collections.abc import Sequence
from typing import Any

import numpy as np

from service.contracts.contract import Call, Contract
from service.predictors.engines.engine import Array
from service.predictors.inputs import to_frame, to_model_input


def frame_of(contract: Contract, call: Call, names: Sequence[Any] | Any | None) -> Any:
    """Return these columns as the model's frame has them: one name alone gives a Series.

    None for all that the model takes, which may be arrays.
    """
    if names is None:
        return to_model_input(contract, call)
    frame: Any = to_frame(contract, call, [names] if isinstance(names, str | int) else names)
    return frame[names]


def dense(transformed: Any) -> Array:
    """Return what a transformer gave as a matrix."""
    if hasattr(transformed, "toarray"):
        transformed = transformed.toarray()
    matrix = np.asarray(transformed)
    return matrix.reshape(-1, 1) if matrix.ndim == 1 else matrix


def unnamed(fitted: Any) -> Any:
    """Return a fitted transformer or estimator that takes arrays without a word about names."""
    twin = copy.copy(fitted)
    if "feature_names_in_" in getattr(twin, "__dict__", {}):
        del twin.feature_names_in_
    return twin
