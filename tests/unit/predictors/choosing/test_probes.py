"""Probe rows are many, like the example and beyond it, and odd ones come one by one."""

import warnings
from pathlib import Path

import numpy as np
import pandas as pd
from sklearn.ensemble import ExtraTreesRegressor

from service.contracts.contract import Call, Contract
from service.contracts.derived import DerivedContract
from tests.support.envelopes import decoded
from tests.support.model_zoo import ZOO, fitted
from tests.support.wrapped import wrap

with warnings.catch_warnings():
    warnings.simplefilter("ignore")  # MLflow's own, at import
    from service.predictors.choosing.known_texts import known_texts
    from service.predictors.choosing.probes import PROBE_ROWS, odd_rows, probes_of, usual_rows
    from service.predictors.choosing.thresholds import call_rows, feature_rows, thresholds_of
    from service.predictors.engines.direct_steps import DirectSteps
    from service.predictors.engines.model_parts import unwrap

RNG = np.random.default_rng(0)


def a_contract(*specs: tuple[str, str, bool]) -> Contract:
    """Return a contract of named columns: name, type, and whether it must be there."""
    inputs = [{"name": name, "type": kind, "required": must} for name, kind, must in specs]
    return DerivedContract({"inputs": inputs}, refuse_unknown=False)


CONTRACT = a_contract(
    ("share", "double", True),
    ("count", "long", True),
    ("color", "string", True),
    ("day", "string", True),
    ("maybe", "long", False),
    ("open", "boolean", True),
)
EXAMPLE = decoded(
    CONTRACT,
    b'{"instances": ['
    b'{"share": 0.5, "count": 10, "color": "red", "day": "2024-02-29", "open": true},'
    b'{"share": 0.25, "count": 20, "color": "red", "day": "2024-03-01", "maybe": 5, "open": false}'
    b"]}",
)


def column(call: Call, name: str) -> "np.ndarray[tuple[int], np.dtype[np.float64]]":
    """Return a column of numbers."""
    index = [spec.name for spec in CONTRACT.inputs].index(name)
    data = call.columns[index]
    assert isinstance(data, bytes)
    return np.frombuffer(data, CONTRACT.inputs[index].dtype)


def test_usual_rows_begin_with_the_example_and_go_beyond_its_range() -> None:
    """Counts and shares stay what they are: never negative."""
    usual = usual_rows(EXAMPLE, CONTRACT, {2: ["green"]}, RNG)
    assert usual.rows == PROBE_ROWS
    for name, low, high in (("share", 0.25, 0.5), ("count", 10, 20)):
        values = column(usual, name)
        assert list(values[:2]) == list(column(EXAMPLE, name))
        assert values.min() >= 0
        assert ((values >= low) & (values <= high)).mean() > 0.5
        assert (values > high).any()


def test_texts_are_those_of_the_example_and_those_that_the_model_knows() -> None:
    """Dates are moved by months."""
    usual = usual_rows(EXAMPLE, CONTRACT, {2: ["green"]}, RNG)
    assert set(usual.columns[2]) == {"red", "green"}
    assert len(set(usual.columns[3])) > 50
    assert all(len(str(day)) == 10 for day in usual.columns[3])


def test_odd_rows_miss_what_is_optional_and_say_what_was_never_seen() -> None:
    """One column at a time."""
    odd = list(odd_rows(EXAMPLE, CONTRACT))
    assert all(call.rows == 1 for call in odd)
    assert any(call.columns[4] == [2**63 - 1] for call in odd)
    assert any(call.columns[4] == [None] for call in odd)
    assert any(call.columns[2] == ["never seen"] for call in odd)
    assert any(column(call, "share")[0] == 1e30 for call in odd)
    assert not any(call.columns[2] == [None] for call in odd)


def test_categories_and_words_are_known_by_their_column(tmp_path: Path) -> None:
    """Of encoders, and of what takes texts apart."""
    for name, wanted in (
        ("forest behind mixed columns", {3: ["blue", "green", "red"], 4: ["L", "M", "S", "XL"]}),
        ("forest behind words", {2: ["and", "cold", "food", "late", "on", "time"]}),
        ("forest", {}),
    ):
        model, inputs = fitted(ZOO[name])
        wrapped = wrap(model, inputs, tmp_path / name)
        found = known_texts(unwrap(wrapped.model, wrapped.contract))
        assert {index: texts for index, texts in found.items() if texts} == wanted


def test_a_model_of_many_columns_is_not_asked_about_each_for_ever(tmp_path: Path) -> None:
    """A part of the odd rows will do, and of the rows near thresholds."""
    rng = np.random.default_rng(1)
    inputs = pd.DataFrame(rng.normal(size=(60, 300)), columns=[f"c{i}" for i in range(300)])
    model = ExtraTreesRegressor(20, random_state=0).fit(inputs, inputs["c0"])
    wrapped = wrap(model, inputs, tmp_path)
    parts = unwrap(wrapped.model, wrapped.contract)
    usual, odd = probes_of(parts, wrapped.call(inputs.head(3)))
    assert (usual.rows, len(odd)) == (PROBE_ROWS, 300)
    transform = DirectSteps().open(parts, tmp_path, 1)
    thresholds = thresholds_of(model)
    calls = call_rows(thresholds, wrapped.contract, transform, usual, RNG)
    assert len(thresholds) < sum(call.rows for call in calls) < 30_000
    assert len(feature_rows(thresholds, transform(usual), RNG)) < 30_000
