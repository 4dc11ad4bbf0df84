"""The quick way from an estimator's answer to Predictions gives what the long way gives."""

import warnings
from typing import Any

import numpy as np
import pytest

from service.contracts.derived import DerivedContract
from service.predictors.outputs import ModelOutputError, to_predictions

with warnings.catch_warnings():
    warnings.simplefilter("ignore")  # MLflow's own, at import
    from service.predictors.engines.answers import answering

INPUTS = [{"name": "a", "type": "double", "required": True}]
ANSWERS: list[tuple[list[str], Any]] = [
    (["double"], np.array([1.5, 2.5, 3.5])),
    (["double"], np.array([[1.5], [2.5], [3.5]])),
    (["float"], np.array([1.5, 2.5, 3.5], np.float32)),
    (["double", "double"], np.array([[1.5, 2], [2.5, 3], [3.5, 4]])),
    (["double", "double"], np.array([[1.5, 2], [2.5, 3], [3.5, 4]], order="F")),
    (["long"], np.array([1, 2, 3])),
    (["long"], np.array([1, 2, 3], np.int32)),
    (["boolean"], np.array([True, False, True])),
    (["string"], np.array(["a", "bc", ""])),
    (["string"], np.array(["a", "bc", ""], object)),
    (["string"], np.array(["a", None, 3], object)),
    (["double"], np.array([1.5, np.nan, np.inf])),
    (["double"], np.array([[1.5, 2], [2.5, 3], [3.5, 4]])),
    ([], np.array([1.5, 2.5, 3.5])),
    ([], np.array([[1.5, 2], [2.5, 3], [3.5, 4]])),
    ([], np.array(["a", "bc", ""])),
    (["double"], [1.5, 2.5, 3.5]),
]


def a_contract(kinds: list[str]) -> DerivedContract:
    """Return a contract with outputs of these kinds."""
    outputs = [{"name": f"y{at}", "type": kind} for at, kind in enumerate(kinds)]
    return DerivedContract({"inputs": INPUTS, "outputs": outputs or None}, refuse_unknown=False)


@pytest.mark.parametrize(("kinds", "output"), ANSWERS)
def test_both_ways_give_the_same(kinds: list[str], output: Any) -> None:
    """Numbers, labels, several columns, and what has no quick way."""
    contract = a_contract(kinds)
    assert answering(contract)(output, 3) == to_predictions(contract, output, 3)


@pytest.mark.parametrize("output", [np.array([1.5, 2.5]), np.array([1.5] * 6), np.array(1.5)])
def test_an_answer_of_another_shape_is_none(output: Any) -> None:
    """As on the long way."""
    with pytest.raises(ModelOutputError):
        answering(a_contract(["double", "double"]))(output, 3)
