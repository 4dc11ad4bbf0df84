"""Do a transformer's arithmetic in place, without scikit-learn's checks of each call."""

from collections.abc import Callable
from typing import Any

import numpy as np
from sklearn.impute import SimpleImputer
from sklearn.preprocessing import (
    FunctionTransformer,
    MaxAbsScaler,
    MinMaxScaler,
    RobustScaler,
    StandardScaler,
)

from service.predictors.engines.engine import Array
from service.predictors.engines.frames import dense, unnamed

OnMatrix = Callable[[Array], Array]


def on_matrix(fitted: Any) -> OnMatrix:
    """Return what does to a matrix of its own what the fitted transformer does.

    The operations are scikit-learn's (1.9), in its order, so that the bits are. A scaler that is
    not known here is called as it is, but for the names of its columns.
    """
    make = _KNOWN.get(type(fitted))
    known = make(fitted) if make is not None else None
    return known if known is not None else _own(fitted)


def _own(fitted: Any) -> OnMatrix:
    transform = unnamed(fitted).transform
    return lambda matrix: dense(transform(matrix))


def _standard(fitted: StandardScaler) -> OnMatrix:
    mean = fitted.mean_ if fitted.with_mean else None
    scale = fitted.scale_ if fitted.with_std else None
    return _shifted(mean, scale)


def _robust(fitted: RobustScaler) -> OnMatrix:
    center = fitted.center_ if fitted.with_centering else None
    scale = fitted.scale_ if fitted.with_scaling else None
    return _shifted(center, scale)


def _shifted(shift: Array | None, scale: Array | None) -> OnMatrix:
    def run(matrix: Array) -> Array:
        matrix = _floating(matrix)
        if shift is not None:
            matrix -= shift
        if scale is not None:
            matrix /= scale
        return matrix

    return run


def _min_max(fitted: MinMaxScaler) -> OnMatrix:
    scale, least, (low, high) = fitted.scale_, fitted.min_, fitted.feature_range
    clip = fitted.clip

    def run(matrix: Array) -> Array:
        matrix = _floating(matrix)
        matrix *= scale
        matrix += least
        return np.clip(matrix, low, high, out=matrix) if clip else matrix

    return run


def _max_abs(fitted: MaxAbsScaler) -> OnMatrix | None:
    return None if getattr(fitted, "clip", False) else _shifted(None, fitted.scale_)


def _imputer(fitted: SimpleImputer) -> OnMatrix | None:
    statistics = fitted.statistics_
    plain = (
        isinstance(fitted.missing_values, float)
        and np.isnan(fitted.missing_values)
        and not fitted.add_indicator
        and statistics.dtype.kind == "f"
        and not np.isnan(statistics).any()
    )
    if not plain:
        return None

    def run(matrix: Array) -> Array:
        matrix = _floating(matrix)
        missing = np.isnan(matrix)
        if missing.any():
            matrix[missing] = statistics[np.nonzero(missing)[1]]
        return matrix

    return run


def _function(fitted: FunctionTransformer) -> OnMatrix | None:
    return (lambda matrix: matrix) if fitted.func is None else None


def _floating(matrix: Array) -> Array:
    return matrix if matrix.dtype.kind == "f" else matrix.astype(np.float64)


_KNOWN: dict[type, Callable[[Any], OnMatrix | None]] = {
    StandardScaler: _standard,
    RobustScaler: _robust,
    MinMaxScaler: _min_max,
    MaxAbsScaler: _max_abs,
    SimpleImputer: _imputer,
    FunctionTransformer: _function,
}
