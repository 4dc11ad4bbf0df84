"""Every engine answers as MLflow does, on models of many kinds."""

import warnings
from pathlib import Path

import pytest

from tests.support.model_zoo import ZOO, fitted, rows
from tests.support.wrapped import by_name, wrap

with warnings.catch_warnings():
    warnings.simplefilter("ignore")  # MLflow's own, at import
    from service.predictors.engines.model_parts import unwrap
    from service.predictors.opening import open_engine
    from service.predictors.pyfunc import PyfuncPredictor
    from service.predictors.tolerance import difference


@pytest.mark.parametrize("name", ZOO)
def test_the_engines_for_a_kind_of_model_are_verified(name: str, tmp_path: Path) -> None:
    """Those that apply are right, on probe rows and on rows that nobody has seen."""
    kind = ZOO[name]
    model, inputs = fitted(kind)
    wrapped = wrap(model, inputs, tmp_path / "model", kind.method, kind.flavour)
    report = wrapped.compile(tmp_path / "files")
    outcomes = by_name(report)
    verified = {one.name for one in report.predictors if one.outcome == "admitted"}
    missing = {engine: outcomes[engine].reason for engine in kind.engines if engine not in verified}
    assert not missing
    assert report.probe_rows >= 2000
    others = rows(seed=9)[list(kind.columns)]
    unseen = wrapped.call(others.to_numpy() if kind.as_array else others)
    wanted = PyfuncPredictor(wrapped.model, wrapped.contract).predict(unseen)
    parts = unwrap(wrapped.model, wrapped.contract)
    for one in verified - {"pyfunc"}:
        predictor = open_engine(one, parts, tmp_path / "files", 2, report.steps)
        assert difference(wanted, predictor.predict(unseen), 1e-12) is None, one
