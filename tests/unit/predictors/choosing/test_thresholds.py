"""Rows at the thresholds of trees find what rows drawn at random do not."""

import importlib
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from sklearn.ensemble import HistGradientBoostingRegressor, RandomForestRegressor
from sklearn.linear_model import Ridge

from service.contracts.contract import Call
from tests.support.model_zoo import ZOO, fitted, rows, targets
from tests.support.wrapped import by_name, wrap

with warnings.catch_warnings():
    warnings.simplefilter("ignore")  # MLflow's own, at import
    from service.predictors.choosing.thresholds import around, call_rows, thresholds_of
    from service.predictors.engines import catalog
    from service.predictors.engines.direct_steps import DirectSteps
    from service.predictors.engines.engine import Array, Estimate
    from service.predictors.engines.model_parts import ModelParts, unwrap
    from service.predictors.engines.trees import Trees

RNG = np.random.default_rng(0)
NUMBERS = ["a", "b", "n"]


def test_neighbours_are_on_either_side_in_both_precisions() -> None:
    """Of a threshold that single precision can't hold."""
    near = around(np.array([0.1]))
    assert {0.1, np.nextafter(0.1, 1), np.nextafter(0.1, 0), float(np.float32(0.1))} <= set(near)
    assert (near < 0.1).any()
    assert (near > 0.1).any()


def test_every_threshold_of_a_forest_is_found() -> None:
    """By the feature that is compared with it; a linear model has none."""
    data = rows()
    inputs, y = data[NUMBERS], targets(data)["y"]
    forest = RandomForestRegressor(4, random_state=0).fit(inputs, y)
    found = thresholds_of(forest)
    tree = forest.estimators_[2].tree_
    for feature, threshold in zip(tree.feature, tree.threshold, strict=True):
        assert feature < 0 or threshold in found[int(feature)]
    assert thresholds_of(HistGradientBoostingRegressor(max_iter=2).fit(inputs, y))
    assert thresholds_of(Ridge().fit(inputs, y)) == {}


def test_scaled_features_are_turned_back_into_their_columns(tmp_path: Path) -> None:
    """Some rows' features are on the one side of a threshold, and some on the other, just so."""
    model, inputs = fitted(ZOO["forest behind mixed columns"])
    wrapped = wrap(model, inputs, tmp_path)
    parts = unwrap(wrapped.model, wrapped.contract)
    transform = DirectSteps().open(parts, tmp_path, 1)
    thresholds = thresholds_of(parts.estimator)
    usual = wrapped.call(inputs)
    calls = call_rows(thresholds, wrapped.contract, transform, usual, RNG)
    changed = {_changed(call, usual) for call in calls}
    assert {"a", "b", "n"} <= {wrapped.contract.inputs[index].name for index in changed}
    for call in calls:
        matrix = transform(call)
        near = [
            (np.abs(matrix[:, [feature]] - values) <= 1e-6 * np.abs(values)).any()
            for feature, values in thresholds.items()
        ]
        assert any(near)


def _changed(call: Call, usual: Call) -> int:
    """Return the column whose values are none of the usual ones."""
    for index, (column, known) in enumerate(zip(call.columns, usual.columns, strict=True)):
        if isinstance(column, bytes) and isinstance(known, bytes):
            width = len(column) // call.rows
            seen = {known[at : at + width] for at in range(0, len(known), width)}
            if not all(column[at : at + width] in seen for at in range(0, len(column), width)):
                return index
    raise AssertionError("no column was changed")


class _OneStepBeside(Trees):
    """A forest that compares with the next number of single precision: `<` instead of `<=`."""

    def open(self, parts: ModelParts, folder: Path, threads: int) -> Estimate:
        right = super().open(parts, folder, threads)

        def estimate(matrix: Array) -> Any:
            single = matrix.astype(np.float32)
            return right(np.nextafter(single, np.float32(np.inf)))

        return estimate


@pytest.mark.parametrize("name", ["forest", "forest behind mixed columns"])
def test_a_forest_that_is_wrong_at_its_thresholds_alone_is_refused(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Rows drawn at random are next to never that near."""
    engine_builder = importlib.import_module("service.predictors.choosing.engine_builder")
    monkeypatch.setattr(catalog, "ENGINES", {"beside": f"{__name__}:_OneStepBeside"})
    model, inputs = fitted(ZOO[name])
    report = wrap(model, inputs, tmp_path / "model").compile(tmp_path / "files")
    outcome = by_name(report)["beside"]
    assert outcome.outcome == "refused"
    assert "near a threshold" in outcome.reason
    # And by the columns alone, without a look at the estimator's own input.
    monkeypatch.setattr(engine_builder.EngineBuilder, "wrong_near_thresholds", lambda *_: "")
    report = wrap(model, inputs, tmp_path / "model").compile(tmp_path / "again")
    assert "in calls of" in by_name(report)["beside"].reason
