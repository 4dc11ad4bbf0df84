"""The steps before an estimator, done by hand: the same bits, and what is unknown is left alone."""

import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from sklearn.compose import ColumnTransformer
from sklearn.feature_extraction.text import CountVectorizer
from sklearn.impute import SimpleImputer
from sklearn.linear_model import LinearRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import (
    FunctionTransformer,
    MaxAbsScaler,
    MinMaxScaler,
    OneHotEncoder,
    OrdinalEncoder,
    PowerTransformer,
    RobustScaler,
    StandardScaler,
)

from tests.support.model_zoo import rows, targets
from tests.support.wrapped import Wrapped, wrap

with warnings.catch_warnings():
    warnings.simplefilter("ignore")  # MLflow's own, at import
    from service.predictors.engines.direct_steps import DirectSteps
    from service.predictors.engines.engine import BeyondError, Transform
    from service.predictors.engines.model_parts import unwrap

DATA = rows()
NUMBERS = ["a", "b", "n"]


def direct(steps: Any, inputs: pd.DataFrame, folder: Path) -> tuple[Wrapped, Transform]:
    """Put steps before a linear model, and return both with the steps done by hand."""
    model = make_pipeline(steps, LinearRegression()).fit(inputs, targets(DATA)["y"])
    wrapped = wrap(model, inputs, folder)
    return wrapped, DirectSteps().open(unwrap(wrapped.model, wrapped.contract), folder, 1)


@pytest.mark.parametrize(
    "steps",
    [
        StandardScaler(),
        StandardScaler(with_mean=False),
        StandardScaler(with_std=False),
        MinMaxScaler((-1, 3), clip=True),
        MaxAbsScaler(),
        RobustScaler(),
        PowerTransformer(),
        FunctionTransformer(),
        make_pipeline(SimpleImputer(strategy="median"), MinMaxScaler()),
    ],
    ids=repr,
)
def test_numbers_become_the_same_bits(steps: Any, tmp_path: Path) -> None:
    """At any number of rows, also of whole numbers, and what came in is not written to."""
    inputs = DATA[NUMBERS]
    wrapped, transform = direct(steps, inputs, tmp_path)
    fitted = wrapped.model.get_raw_model()[0]
    for count in (1, 2, 300):
        call = wrapped.call(inputs.head(count))
        before = list(call.columns)
        np.testing.assert_array_equal(transform(call), fitted.transform(inputs.head(count)))
        assert call.columns == before


@pytest.mark.parametrize(
    "encoder",
    [
        OneHotEncoder(),
        OneHotEncoder(drop="first", sparse_output=False),
        OneHotEncoder(drop="if_binary"),
        OneHotEncoder(min_frequency=70, handle_unknown="infrequent_if_exist"),
        OrdinalEncoder(),
        OrdinalEncoder(dtype=np.int32),
    ],
    ids=repr,
)
def test_categories_become_the_same_bits(encoder: Any, tmp_path: Path) -> None:
    """Beside numbers that are kept as they are."""
    inputs = DATA[["a", "color", "size"]]
    columns = ColumnTransformer([("codes", encoder, ["color", "size"])], remainder="passthrough")
    wrapped, transform = direct(columns, inputs, tmp_path)
    found = transform(wrapped.call(inputs))
    wanted = wrapped.model.get_raw_model()[0].transform(inputs)
    np.testing.assert_array_equal(found, np.asarray(wanted))


def test_a_category_that_was_never_seen_is_left_to_the_model(tmp_path: Path) -> None:
    """Unless the encoder has a code for such."""
    inputs = DATA[["a", "color"]]
    refusing, ignoring = (
        ColumnTransformer([("codes", OneHotEncoder(handle_unknown=how), ["color"])])
        for how in ("error", "ignore")
    )
    unseen = pd.DataFrame({"a": [1.0], "color": ["mauve"]})
    wrapped, transform = direct(refusing, inputs, tmp_path / "refusing")
    with pytest.raises(BeyondError, match="not seen"):
        transform(wrapped.call(unseen))
    wrapped, transform = direct(ignoring, inputs, tmp_path / "ignoring")
    assert transform(wrapped.call(unseen)).tolist() == [[0.0, 0.0, 0.0]]


class CountingVectorizer(CountVectorizer):  # type: ignore[misc]  # scikit-learn is untyped
    """A vectorizer that counts the texts that it was asked for."""

    def transform(self, raw_documents: Any) -> Any:
        """Count, and do as ever."""
        self.asked_ = [*getattr(self, "asked_", []), *raw_documents]
        return super().transform(raw_documents)


def test_a_text_is_taken_apart_once(tmp_path: Path) -> None:
    """A call for it again gets what was kept."""
    inputs = DATA[["a", "note"]]
    columns = ColumnTransformer([("words", CountingVectorizer(), "note")])
    wrapped, transform = direct(columns, inputs, tmp_path)
    vectorizer = wrapped.model.get_raw_model()[0].named_transformers_["words"]
    vectorizer.asked_ = []
    call = wrapped.call(inputs)
    first, second = transform(call), transform(call)
    np.testing.assert_array_equal(first, second)
    assert sorted(vectorizer.asked_) == sorted(set(DATA["note"]))
    wanted = wrapped.model.get_raw_model()[0].transform(inputs)
    np.testing.assert_array_equal(first, np.asarray(wanted))
