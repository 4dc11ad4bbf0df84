"""What a model's files tell of how it may be called."""

from service.core.described import Described
from service.predictors.flavours import FLAVOURS, may_be_unwrapped


def test_the_kinds_that_are_known_may_be_taken_apart() -> None:
    """Others are called through MLflow, and so is what does not say how it is loaded."""
    for loader in FLAVOURS:
        assert may_be_unwrapped(Described(loader=loader))
    assert not may_be_unwrapped(Described(loader="mlflow.pytorch"))
    assert not may_be_unwrapped(Described())
