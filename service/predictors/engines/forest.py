"""What the engines for forests share: which model is one, and what its trees' sums mean."""

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
from sklearn.ensemble import (
    ExtraTreesClassifier,
    ExtraTreesRegressor,
    RandomForestClassifier,
    RandomForestRegressor,
)
from sklearn.tree import (
    DecisionTreeClassifier,
    DecisionTreeRegressor,
    ExtraTreeClassifier,
    ExtraTreeRegressor,
)

from service.predictors.engines.engine import Array, BeyondError, SkippedError
from service.predictors.engines.model_parts import ModelParts

REGRESSORS = (RandomForestRegressor, ExtraTreesRegressor)
CLASSIFIERS = (RandomForestClassifier, ExtraTreesClassifier)
TREES = (DecisionTreeRegressor, ExtraTreeRegressor, DecisionTreeClassifier, ExtraTreeClassifier)

MOST_NODES = 2_000_000
"""A forest with more nodes is not copied: each takes 40 to 100 bytes."""


class Forest(NamedTuple):
    """A forest, or a tree alone: what is summed over `trees` and divided by their number.

    `finish` takes that mean, of shape (rows, outputs, classes), with one class for a regressor.
    """

    estimator: Any
    trees: list[Any]
    outputs: int
    classes: list[int]
    finish: Callable[[Array], Any]
    takes_nan: bool

    @property
    def is_classifier(self) -> bool:
        """Whether the trees answer with shares of classes."""
        return isinstance(
            self.estimator, (*CLASSIFIERS, DecisionTreeClassifier, ExtraTreeClassifier)
        )

    def answer(self, total: Array) -> Any:
        """Return what the model answers where its trees' values, in order, have this sum.

        One row each of `total`, which is divided in place, as scikit-learn does.
        """
        if len(self.trees) > 1:
            total /= len(self.trees)
        return self.finish(total.reshape(len(total), self.outputs, max(self.classes)))


def check_size(forest: Forest) -> None:
    """Raise SkippedError for a forest of which each worker should not hold a second copy."""
    nodes = sum(tree.node_count for tree in forest.trees) * forest.outputs * max(forest.classes)
    if nodes > MOST_NODES:
        raise SkippedError(f"a copy of {nodes} nodes would take too much memory")


def forest_of(parts: ModelParts) -> Forest:
    """Return the model's estimator as a forest. Raise SkippedError where it is none."""
    estimator, method = parts.estimator, parts.method
    kind = type(estimator)
    if kind not in {*REGRESSORS, *CLASSIFIERS, *TREES}:
        raise SkippedError(f"{kind.__name__} is no forest")
    fitted = [estimator] if kind in TREES else list(estimator.estimators_)
    trees = [tree.tree_ for tree in fitted]
    outputs = int(estimator.n_outputs_)
    regressor = not hasattr(estimator, "classes_")
    finish: Callable[[Array], Any]
    if regressor:
        if method != "predict":
            raise SkippedError(f"its {method} is no mean of trees")
        finish = _values
        classes = [1] * outputs
    else:
        several = outputs > 1
        counts = list(estimator.n_classes_) if several else [estimator.n_classes_]
        classes = [int(count) for count in counts]
        labels = list(estimator.classes_) if several else [estimator.classes_]
        finish = _finish_shares(method, labels)
    tags = estimator.__sklearn_tags__()
    takes_nan = bool(tags.input_tags.allow_nan) and estimator.monotonic_cst is None
    return Forest(estimator, trees, outputs, classes, finish, takes_nan)


def _values(mean: Array) -> Array:
    return mean[:, 0, 0] if mean.shape[1] == 1 else mean[:, :, 0]


def _finish_shares(method: str, labels: list[Any]) -> Callable[[Array], Any]:
    if method == "predict_proba" and len(labels) == 1:
        return lambda mean: mean[:, 0, :]
    if method != "predict":
        raise SkippedError(f"its {method} is no mean of trees")
    if len(labels) == 1:
        (only,) = labels
        return lambda mean: only.take(np.argmax(mean[:, 0, :], axis=1), axis=0)

    def chosen(mean: Array) -> Array:
        answer = np.empty((len(mean), len(labels)), labels[0].dtype)
        for output, known in enumerate(labels):
            shares = mean[:, output, : len(known)]
            answer[:, output] = known.take(np.argmax(shares, axis=1), axis=0)
        return answer

    return chosen


def as_float32(matrix: Array, *, takes_nan: bool) -> Array:
    """Return a matrix as trees take it. Raise BeyondError for what scikit-learn would refuse."""
    with np.errstate(over="ignore"):
        features = np.ascontiguousarray(matrix, np.float32)
    if not np.isfinite(features).all() and (not takes_nan or np.isinf(features).any()):
        raise BeyondError("a feature is not finite")
    return features
