"""What a transformer made of texts is remembered up to a size."""

from typing import Any

import numpy as np
import pytest

from service.contracts.choose import contract_for
from service.contracts.contract import Call
from service.predictors.engines import transform_cache
from service.predictors.engines.transform_cache import TransformCache


class Lengths:
    """Makes of each text its length, and notes how many it was asked for."""

    def __init__(self) -> None:
        self.asked: list[int] = []

    def transform(self, frame: Any) -> Any:
        """Return a row for each text."""
        self.asked.append(len(frame))
        return np.array([[float(len(text))] for text in np.asarray(frame)[:, 0]])


def test_the_texts_themselves_count(monkeypatch: pytest.MonkeyPatch) -> None:
    """Long ones are forgotten when they take too much, though their rows are short."""
    monkeypatch.setattr(transform_cache, "_LIMIT_BYTES", 100_000)
    inputs = [{"type": "string", "name": "a", "required": True}]
    signature = {"inputs": inputs, "outputs": None, "params": None}
    contract = contract_for("some-model", signature, refuse_unknown=False)
    lengths = Lengths()
    subject = TransformCache(contract, 0, None, [lengths])
    for start in range(40):
        texts = [f"{start * 5 + at:08}" * 1_000 for at in range(5)]
        assert subject(Call(5, [texts])).tolist() == [[8_000.0]] * 5
        assert subject._bytes <= 100_000
        held = sum(map(len, subject._known))
        assert held <= 100_000
    subject(Call(2, [["x", "x"]]))
    asked = len(lengths.asked)
    subject(Call(1, [["x"]]))
    assert len(lengths.asked) == asked, "short ones are remembered"


def test_the_columns_of_a_model_share_the_limit(monkeypatch: pytest.MonkeyPatch) -> None:
    """A model of many text columns fills no more memory than one with a single one."""
    monkeypatch.setattr(transform_cache, "_LIMIT_BYTES", 100_000)
    inputs = [{"type": "string", "name": f"c{at}", "required": True} for at in range(10)]
    signature = {"inputs": inputs, "outputs": None, "params": None}
    contract = contract_for("some-model", signature, refuse_unknown=False)
    subjects = [TransformCache(contract, at, None, [Lengths()]) for at in range(10)]
    for start in range(100):
        texts = [f"{start * 5 + at:08}" for at in range(5)]
        for subject in subjects:
            assert subject(Call(5, [texts] * 10)).tolist() == [[8.0]] * 5
        assert 0 <= sum(subject._bytes for subject in subjects) <= 100_000
