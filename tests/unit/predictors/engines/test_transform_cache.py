"""What a transformer made of texts is remembered up to a size."""

from typing import Any

import numpy as np

from service.contracts.choose import contract_for
from service.contracts.contract import Call
from service.predictors.engines.transform_cache import TransformCache

LIMIT_BYTES = 100_000


class Lengths:
    """Makes of each text its length, and notes how many it was asked for."""

    def __init__(self) -> None:
        self.asked: list[int] = []

    def transform(self, frame: Any) -> Any:
        """Return a row for each text."""
        self.asked.append(len(frame))
        return np.array([[float(len(text))] for text in np.asarray(frame)[:, 0]])


def test_the_texts_themselves_count() -> None:
    """Long ones are forgotten when they take too much, though their rows are short."""
    inputs = [{"type": "string", "name": "a", "required": True}]
    signature = {"inputs": inputs, "outputs": None, "params": None}
    contract = contract_for("some-model", signature, refuse_unknown=False)
    lengths = Lengths()
    subject = TransformCache(contract, 0, None, [lengths], LIMIT_BYTES)
    for start in range(40):
        texts = [f"{start * 5 + at:08}" * 1_000 for at in range(5)]
        assert subject(Call(5, [texts])).tolist() == [[8_000.0]] * 5
        assert subject.held_bytes <= LIMIT_BYTES
    asked = len(lengths.asked)
    subject(Call(1, [["0" * 7 + "0"]]))
    subject(Call(1, [[f"{0:08}" * 1_000]]))
    assert len(lengths.asked) == asked + 2, "the first ones are forgotten"
    subject(Call(2, [["x", "x"]]))
    asked = len(lengths.asked)
    subject(Call(1, [["x"]]))
    assert len(lengths.asked) == asked, "short ones are remembered"


def test_the_columns_of_a_model_share_the_limit() -> None:
    """A model of many text columns fills no more memory than one with a single one."""
    inputs = [{"type": "string", "name": f"c{at}", "required": True} for at in range(10)]
    signature = {"inputs": inputs, "outputs": None, "params": None}
    contract = contract_for("some-model", signature, refuse_unknown=False)
    subjects = [TransformCache(contract, at, None, [Lengths()], LIMIT_BYTES) for at in range(10)]
    for start in range(100):
        texts = [f"{start * 5 + at:08}" for at in range(5)]
        for subject in subjects:
            assert subject(Call(5, [texts] * 10)).tolist() == [[8.0]] * 5
        assert 0 <= sum(subject.held_bytes for subject in subjects) <= LIMIT_BYTES
