"""Fitted models of scikit-learn, XGBoost and LightGBM."""

import warnings
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import mlflow
import numpy as np
import pandas as pd
from mlflow.models import infer_signature
from sklearn.cluster import KMeans
from sklearn.dummy import DummyClassifier
from sklearn.ensemble import IsolationForest, RandomForestClassifier, RandomForestRegressor
from sklearn.feature_extraction.text import CountVectorizer
from sklearn.impute import SimpleImputer
from sklearn.linear_model import LinearRegression, LogisticRegression
from sklearn.multioutput import ClassifierChain, MultiOutputClassifier, MultiOutputRegressor
from sklearn.naive_bayes import GaussianNB, MultinomialNB
from sklearn.neighbors import KNeighborsClassifier
from sklearn.neural_network import MLPClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import KBinsDiscretizer, StandardScaler
from sklearn.svm import SVC
from sklearn.tree import DecisionTreeClassifier

from tests.support import model_zoo
from tests.support.kinds.kind import NAMED, ROWS, Kind, Rng

NUMBERS = ("a", "b", "n")


class Fitted(NamedTuple):
    """An estimator, the columns it takes, and what it learns of the zoo's rows."""

    make: Callable[[], Any]
    columns: tuple[str, ...]
    target: Callable[[pd.DataFrame], Any]
    method: str = "predict"


def _y(data: pd.DataFrame) -> Any:
    return model_zoo.targets(data)["y"]


def _label(data: pd.DataFrame) -> Any:
    return model_zoo.targets(data)["label"]


def _third(data: pd.DataFrame) -> Any:
    return model_zoo.targets(data)["third"]


def _labels(data: pd.DataFrame) -> Any:
    return model_zoo.targets(data)["labels"]


def _texts_and_truths(data: pd.DataFrame) -> Any:
    return np.column_stack([_label(data), np.where(data["n"] > 500, "many", "few")])


def _forest(**more: Any) -> Any:
    return RandomForestClassifier(4, random_state=0, max_depth=4, **more)


MORE: dict[str, Fitted] = {
    "labels that are truths": Fitted(_forest, NUMBERS, lambda d: (d["n"] > 500).to_numpy()),
    "labels that are small": Fitted(_forest, NUMBERS, lambda d: _third(d).astype("int8")),
    "shares for several outputs": Fitted(_forest, NUMBERS, _labels, "predict_proba"),
    "log shares for several outputs": Fitted(_forest, NUMBERS, _labels, "predict_log_proba"),
    "shares for several outputs of a tree": Fitted(
        lambda: DecisionTreeClassifier(max_depth=3), NUMBERS, _labels, "predict_proba"
    ),
    "shares for several outputs by wrapping": Fitted(
        lambda: MultiOutputClassifier(LogisticRegression()), NUMBERS, _labels, "predict_proba"
    ),
    "shares for several outputs of neighbours": Fitted(
        KNeighborsClassifier, NUMBERS, _labels, "predict_proba"
    ),
    "several labels of text": Fitted(_forest, NUMBERS, _texts_and_truths),
    "a chain of labels": Fitted(
        lambda: ClassifierChain(GaussianNB()), NUMBERS, lambda d: _labels(d) > 0
    ),
    "several numbers by wrapping": Fitted(
        lambda: MultiOutputRegressor(LinearRegression()),
        NUMBERS,
        lambda d: model_zoo.targets(d)["two"],
    ),
    "a target of one column": Fitted(LinearRegression, NUMBERS, lambda d: _y(d).reshape(-1, 1)),
    "joint log shares": Fitted(GaussianNB, NUMBERS, _third, "predict_joint_log_proba"),
    "support vectors": Fitted(SVC, NUMBERS, _label),
    "a network": Fitted(
        lambda: make_pipeline(StandardScaler(), MLPClassifier((4,), max_iter=20, random_state=0)),
        NUMBERS,
        _label,
        "predict_proba",
    ),
    "clusters": Fitted(lambda: KMeans(3, random_state=0, n_init=1), NUMBERS, lambda _: None),
    "outliers": Fitted(
        lambda: IsolationForest(n_estimators=8, random_state=0), NUMBERS, lambda _: None
    ),
    "one class": Fitted(
        DummyClassifier, NUMBERS, lambda d: np.zeros(len(d), "int64"), "predict_proba"
    ),
    "bins": Fitted(
        lambda: make_pipeline(KBinsDiscretizer(3), RandomForestRegressor(4, random_state=0)),
        NUMBERS,
        _y,
    ),
    "words counted": Fitted(
        lambda: make_pipeline(_Column("note"), CountVectorizer(), MultinomialNB()),
        ("note",),
        _label,
        "predict_proba",
    ),
}


class _Column:
    """Takes one column out of a frame."""

    def __init__(self, name: str) -> None:
        self.name = name

    def fit(self, _x: Any, _y: Any = None) -> "_Column":
        """Learn nothing."""
        return self

    def transform(self, frame: pd.DataFrame) -> Any:
        """Return the column."""
        return frame[self.name]


def _instances(columns: tuple[str, ...], *, as_array: bool = False) -> Any:
    def rows(rng: Rng, count: int) -> list[Any]:
        data = model_zoo.rows(int(rng.integers(1000)), count)[list(columns)]
        made: list[Any] = data.to_numpy().tolist() if as_array else data.to_dict(orient="records")
        return made

    return rows


def _save(path: Path, fit: Callable[[], tuple[Any, Any]], method: str, flavour: str) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        model, inputs = fit()
        answered = getattr(model, method)(inputs)
        module: Any = getattr(mlflow, flavour)
        how: dict[str, Any] = {}
        if flavour == "sklearn":
            how = {"serialization_format": "cloudpickle", "pyfunc_predict_fn": method}
        named = None if isinstance(answered, list) else infer_signature(inputs, answered)
        module.save_model(
            model,
            path,
            signature=named or infer_signature(inputs),
            input_example=inputs[:5],
            pip_requirements=[],
            **how,
        )


def _fit(made: Fitted) -> tuple[Any, Any]:
    data = model_zoo.rows()
    inputs = data[list(made.columns)]
    return made.make().fit(inputs, made.target(data)), inputs


def _fit_integers(names: list[Any]) -> tuple[Any, Any]:
    data = model_zoo.rows()[["a", "b"]].set_axis(names, axis=1)
    return LinearRegression().fit(data, data.sum(axis=1)), data


def _fit_holes() -> tuple[Any, Any]:
    data = model_zoo.rows()[["a", "b"]]
    data.loc[::3, "a"] = np.nan
    model = make_pipeline(SimpleImputer(), LinearRegression())
    return model.fit(data, data["b"]), data


def _holed(rng: Rng, count: int) -> list[dict[str, Any]]:
    data = model_zoo.rows(int(rng.integers(1000)), count)[["a", "b"]]
    rows: list[Any] = data.to_dict(orient="records")
    return [{**row, "a": None} if rng.random() < 0.4 else row for row in rows]


def _numbered(rng: Rng, count: int) -> list[dict[str, Any]]:
    return [{"0": float(a), "1": float(b)} for a, b in rng.normal(size=(count, 2)).round(3)]


KINDS = [
    *(
        Kind(
            f"fitted {name}",
            partial(
                _save,
                fit=partial(model_zoo.fitted, kind),
                method=kind.method,
                flavour=kind.flavour,
            ),
            _instances(kind.columns, as_array=kind.as_array),
            forms=frozenset({ROWS}) if kind.as_array else NAMED,
            asks="tensors" if kind.as_array else "records",
            compiles=True,
        )
        for name, kind in model_zoo.ZOO.items()
    ),
    *(
        Kind(
            f"fitted {name}",
            partial(_save, fit=partial(_fit, made), method=made.method, flavour="sklearn"),
            _instances(made.columns),
            compiles=True,
            nulls="log" in made.method,
        )
        for name, made in MORE.items()
    ),
    Kind(
        "fitted integer names",
        partial(_save, fit=partial(_fit_integers, [0, 1]), method="predict", flavour="sklearn"),
        _numbered,
        compiles=True,
    ),
    Kind(
        "fitted with holes",
        partial(_save, fit=_fit_holes, method="predict", flavour="sklearn"),
        _holed,
        compiles=True,
    ),
]
