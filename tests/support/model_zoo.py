"""Small fitted models of many kinds, on the same rows, with the engines that are right for them."""

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
import pytest
from sklearn.compose import ColumnTransformer
from sklearn.decomposition import PCA
from sklearn.ensemble import (
    ExtraTreesClassifier,
    ExtraTreesRegressor,
    GradientBoostingClassifier,
    GradientBoostingRegressor,
    HistGradientBoostingClassifier,
    HistGradientBoostingRegressor,
    RandomForestClassifier,
    RandomForestRegressor,
)
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.impute import SimpleImputer
from sklearn.linear_model import LinearRegression, LogisticRegression, Ridge
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import (
    MinMaxScaler,
    OneHotEncoder,
    OrdinalEncoder,
    PolynomialFeatures,
    RobustScaler,
    StandardScaler,
)
from sklearn.tree import DecisionTreeRegressor

ROWS = 300


class Kind(NamedTuple):
    """A model that is still to be fitted: its columns, its target, and the engines for it."""

    make: Callable[[], Any]
    columns: tuple[str, ...]
    target: str
    engines: tuple[str, ...]
    method: str = "predict"
    flavour: str = "sklearn"
    as_array: bool = False
    """Whether it takes a numpy array, not a frame."""


def rows(seed: int = 0, count: int = ROWS) -> pd.DataFrame:
    """Make rows of numbers, whole numbers, categories, dates and words."""
    rng = np.random.default_rng(seed)
    a, b = rng.normal(3, 2, count), rng.lognormal(0, 1, count)
    n = rng.integers(0, 1000, count)
    return pd.DataFrame(
        {
            "a": a,
            "b": b,
            "n": n,
            "color": rng.choice(["red", "green", "blue"], count),
            "size": rng.choice(["S", "M", "L", "XL"], count),
            "note": rng.choice(["late and cold", "on time", "cold food"], count),
        }
    )


def targets(data: pd.DataFrame) -> dict[str, Any]:
    """Make what is to be learnt from the rows: numbers, several numbers, labels, several labels."""
    y = data["a"] * 3 - data["b"] + data["n"] / 100 + (data["color"] == "red")
    label = np.where(y > y.median(), "high", "low")
    third = pd.qcut(y, 3, labels=False).to_numpy().astype("int64")
    return {
        "y": y.to_numpy(),
        "two": np.column_stack([y, -y * 2]),
        "label": label,
        "third": third,
        "labels": np.column_stack([third, (data["n"] > 500).to_numpy().astype("int64")]),
    }


NUMBERS = ("a", "b", "n")
MIXED = ("a", "b", "n", "color", "size")


def mixed(estimator: Any, **encoding: Any) -> Pipeline:
    """Put scalers and a one-hot encoder before an estimator."""
    columns = ColumnTransformer(
        [
            ("scaled", StandardScaler(), ["a", "n"]),
            ("kept", "passthrough", ["b"]),
            ("encoded", OneHotEncoder(**encoding), ["color", "size"]),
        ]
    )
    return Pipeline([("columns", columns), ("estimator", estimator)])


def words(estimator: Any) -> Pipeline:
    """Put a text's words beside imputed and scaled numbers."""
    numbers = make_pipeline(SimpleImputer(), RobustScaler())
    columns = ColumnTransformer(
        [("words", TfidfVectorizer(), "note"), ("numbers", numbers, ["a", "b"])]
    )
    return Pipeline([("columns", columns), ("estimator", estimator)])


def library(name: str) -> Any:
    """Import a library that not each machine can, or skip the test."""
    return pytest.importorskip(name, exc_type=ImportError)


def _forest(**more: Any) -> RandomForestRegressor:
    return RandomForestRegressor(8, random_state=0, **more)


TREES = (
    *("native", "llvm forest", "llvm forest in threads", "trees", "trees in threads", "matrix"),
)
BOOSTED = ("native", "boosting", "matrix")
LINEAR = ("native", "linear", "onnx", "matrix")

BOOSTERS: dict[str, Kind] = {
    "xgboost": Kind(
        lambda: library("xgboost").XGBRegressor(n_estimators=8),
        NUMBERS,
        "y",
        ("native", "xgboost in place"),
        flavour="xgboost",
    ),
    "xgboost of labels": Kind(
        lambda: library("xgboost").XGBClassifier(n_estimators=8),
        NUMBERS,
        "third",
        ("native", "xgboost in place", "treelite booster"),
        flavour="xgboost",
    ),
    "xgboost behind mixed columns": Kind(
        lambda: mixed(library("xgboost").XGBRegressor(n_estimators=8)),
        MIXED,
        "y",
        ("native", "xgboost in place", "matrix"),
    ),
    "lightgbm": Kind(
        lambda: library("lightgbm").LGBMRegressor(n_estimators=8, verbose=-1),
        NUMBERS,
        "y",
        ("native", "treelite booster"),
        flavour="lightgbm",
    ),
    "lightgbm of labels": Kind(
        lambda: library("lightgbm").LGBMClassifier(n_estimators=8, verbose=-1),
        NUMBERS,
        "label",
        ("native", "treelite booster"),
        flavour="lightgbm",
    ),
    "lightgbm of shares behind mixed columns": Kind(
        lambda: mixed(library("lightgbm").LGBMClassifier(n_estimators=8, verbose=-1)),
        MIXED,
        "third",
        ("native", "matrix"),
        "predict_proba",
    ),
}

ZOO: dict[str, Kind] = {
    **BOOSTERS,
    "forest": Kind(_forest, NUMBERS, "y", TREES),
    "forest of two outputs": Kind(_forest, NUMBERS, "two", TREES),
    "forest behind scalers": Kind(
        lambda: make_pipeline(MinMaxScaler(), StandardScaler(), _forest()), NUMBERS, "y", TREES
    ),
    "forest behind mixed columns": Kind(
        lambda: mixed(_forest(), handle_unknown="ignore"), MIXED, "two", TREES
    ),
    "forest behind words": Kind(lambda: words(_forest()), ("a", "b", "note"), "y", TREES),
    "forest of labels": Kind(
        lambda: RandomForestClassifier(8, random_state=0), NUMBERS, "label", TREES
    ),
    "forest of shares": Kind(
        lambda: RandomForestClassifier(8, random_state=0),
        NUMBERS,
        "third",
        TREES,
        "predict_proba",
    ),
    "forest of several labels": Kind(
        lambda: RandomForestClassifier(8, random_state=0),
        NUMBERS,
        "labels",
        ("native", "llvm forest", "trees", "matrix"),
    ),
    "extra trees": Kind(lambda: ExtraTreesRegressor(8, random_state=0), NUMBERS, "y", TREES),
    "extra trees of labels": Kind(
        lambda: mixed(ExtraTreesClassifier(8, random_state=0)), MIXED, "third", TREES
    ),
    "forest on an array": Kind(_forest, NUMBERS, "y", TREES, as_array=True),
    "a tree alone": Kind(
        lambda: DecisionTreeRegressor(random_state=0),
        NUMBERS,
        "y",
        ("native", "llvm forest", "trees", "matrix"),
    ),
    "gradient boosting": Kind(
        lambda: GradientBoostingRegressor(n_estimators=8, random_state=0), NUMBERS, "y", BOOSTED
    ),
    "gradient boosting of labels": Kind(
        lambda: mixed(GradientBoostingClassifier(n_estimators=8, random_state=0)),
        MIXED,
        "label",
        BOOSTED,
    ),
    "gradient boosting of shares": Kind(
        lambda: GradientBoostingClassifier(n_estimators=8, random_state=0),
        NUMBERS,
        "third",
        BOOSTED,
        "predict_proba",
    ),
    "binned boosting": Kind(
        lambda: HistGradientBoostingRegressor(max_iter=8, random_state=0), NUMBERS, "y", BOOSTED
    ),
    "binned boosting of labels": Kind(
        lambda: HistGradientBoostingClassifier(max_iter=8, random_state=0),
        NUMBERS,
        "label",
        BOOSTED,
    ),
    "linear": Kind(LinearRegression, NUMBERS, "y", LINEAR),
    "linear of two outputs": Kind(LinearRegression, NUMBERS, "two", LINEAR),
    "ridge behind mixed columns": Kind(
        lambda: mixed(Ridge(), handle_unknown="ignore"), MIXED, "y", LINEAR
    ),
    "logistic": Kind(
        lambda: make_pipeline(StandardScaler(), LogisticRegression()),
        NUMBERS,
        "label",
        ("native", "linear", "matrix"),
    ),
    "logistic of three": Kind(
        lambda: mixed(LogisticRegression(max_iter=1000)),
        MIXED,
        "third",
        ("native", "linear", "matrix"),
    ),
    "ordinal": Kind(
        lambda: make_pipeline(
            ColumnTransformer([("codes", OrdinalEncoder(), ["size"])], remainder="passthrough"),
            LinearRegression(),
        ),
        ("a", "size"),
        "y",
        ("native", "linear", "matrix"),
    ),
    "components": Kind(
        lambda: make_pipeline(PolynomialFeatures(2), StandardScaler(), PCA(3), Ridge()),
        NUMBERS,
        "y",
        ("native", "linear", "matrix"),
    ),
}


def fitted(kind: Kind, seed: int = 0) -> tuple[Any, Any]:
    """Fit a kind of model, and return it with the rows it was fitted on."""
    data = rows(seed)
    inputs: Any = data[list(kind.columns)]
    if kind.as_array:
        inputs = inputs.to_numpy()
    return kind.make().fit(inputs, targets(data)[kind.target]), inputs
