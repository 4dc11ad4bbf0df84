"""Whatever forest or pipeline it is: a predictor that was verified answers as pyfunc does."""

import tempfile
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from sklearn.compose import ColumnTransformer
from sklearn.ensemble import ExtraTreesRegressor, RandomForestClassifier, RandomForestRegressor
from sklearn.impute import SimpleImputer
from sklearn.linear_model import LogisticRegression, Ridge
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import MinMaxScaler, OneHotEncoder, OrdinalEncoder, StandardScaler

from tests.support.wrapped import Wrapped, wrap

with warnings.catch_warnings():
    warnings.simplefilter("ignore")  # MLflow's own, at import
    from service.predictors.engines.engine import BeyondError
    from service.predictors.engines.model_parts import unwrap
    from service.predictors.opening import open_engine
    from service.predictors.pyfunc import PyfuncPredictor
    from service.predictors.tolerance import difference

COLORS = ["red", "green", "blue", "a color of many words", ""]


@st.composite
def models(draw: st.DrawFn) -> tuple[Any, pd.DataFrame, int]:
    """Draw a fitted model, rows that it was fitted on, and a seed for others."""
    seed = draw(st.integers(0, 2**16))
    rng = np.random.default_rng(seed)
    count = draw(st.integers(20, 120))
    data = _rows(rng, count, draw(st.sampled_from([1e-6, 1.0, 1e6])))
    scaler = draw(st.sampled_from(["passthrough", StandardScaler(), MinMaxScaler()]))
    encoder = draw(
        st.sampled_from(
            [
                OneHotEncoder(),
                OneHotEncoder(handle_unknown="ignore", drop="if_binary"),
                OneHotEncoder(sparse_output=False, drop="first"),
                OrdinalEncoder(handle_unknown="use_encoded_value", unknown_value=-1),
            ]
        )
    )
    numbers: Any = scaler
    if draw(st.booleans()):
        numbers = make_pipeline(SimpleImputer(strategy="median"), numbers)
    columns = ColumnTransformer(
        [("numbers", numbers, ["x", "n"]), ("color", encoder, ["color"])],
        remainder=draw(st.sampled_from(["drop", "passthrough"])),
    )
    trees = draw(st.integers(1, 6))
    depth = draw(st.sampled_from([None, 1, 4]))
    estimator = draw(
        st.sampled_from(
            [
                RandomForestRegressor(trees, max_depth=depth, random_state=seed),
                ExtraTreesRegressor(trees, max_depth=depth, random_state=seed),
                RandomForestClassifier(trees, max_depth=depth, random_state=seed),
                Ridge(),
                LogisticRegression(),
            ]
        )
    )
    target: Any = data["x"] * rng.normal() + data["n"] + (data["color"] == "red")
    if hasattr(estimator, "predict_proba"):
        target = np.where(target > target.median(), "high", "low")
    elif draw(st.booleans()):
        target = np.column_stack([target, target**2])
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # solvers that do not converge
        return make_pipeline(columns, estimator).fit(data, target), data, seed + 1


def _rows(rng: np.random.Generator, count: int, scale: float = 1.0) -> pd.DataFrame:
    return pd.DataFrame(
        {
            "x": rng.normal(0, scale, count),
            "n": rng.integers(-5, 50, count),
            "color": rng.choice(COLORS, count),
            "more": rng.lognormal(0, 2, count),
        }
    )


@pytest.mark.filterwarnings("ignore:Found unknown categories")
@settings(
    max_examples=8,
    # An example takes a second: shrinking one would take minutes.
    phases=(Phase.explicit, Phase.reuse, Phase.generate),
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@given(drawn=models())
def test_every_admitted_predictor_answers_as_pyfunc_does(
    drawn: tuple[Any, pd.DataFrame, int],
) -> None:
    """On rows that no check has seen, in batches of any size."""
    model, data, seed = drawn
    with tempfile.TemporaryDirectory() as folder:
        wrapped = wrap(model, data, Path(folder) / "model")
        report = wrapped.compile(Path(folder) / "files")
        verified = {one.name for one in report.predictors if one.outcome == "admitted"}
        told = {one.name: one.reason for one in (*report.predictors, *report.steps_tried)}
        assert {"native", "matrix"} <= verified, told
        others = _rows(np.random.default_rng(seed), 90, 3.0)
        for name in verified - {"pyfunc"}:
            _compare(wrapped, Path(folder) / "files", name, report.steps, others)


def _compare(wrapped: Wrapped, files: Path, name: str, steps: str, others: pd.DataFrame) -> None:
    parts = unwrap(wrapped.model, wrapped.contract)
    pyfunc = PyfuncPredictor(wrapped.model, wrapped.contract)
    predictor = open_engine(name, parts, files, 2, steps)
    for part in (others.head(1), others.iloc[1:9], others):
        call = wrapped.call(part)
        try:
            wanted = pyfunc.predict(call)
        except Exception:  # noqa: BLE001 - a category that the model does not know
            with pytest.raises(Exception):  # noqa: B017 - then pyfunc is asked, and says it
                predictor.predict(call)
            continue
        try:
            found = predictor.predict(call)
        except BeyondError:
            continue
        assert difference(wanted, found, 1e-12) is None, name
