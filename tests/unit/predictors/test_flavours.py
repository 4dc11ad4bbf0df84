"""What a model's files tell of how it may be called."""

from pathlib import Path

import pytest

from service.core.mlmodel import MLMODEL
from service.predictors.flavours import FLAVOURS, may_be_dissected

DESCRIBED = "flavors:\n  python_function:\n    loader_module: {}\n"


def described(folder: Path, text: str) -> Path:
    """Write what describes a model, and return its folder."""
    (folder / MLMODEL).write_text(text)
    return folder


def test_the_kinds_that_are_known_may_be_taken_apart(tmp_path: Path) -> None:
    """Others are called through MLflow."""
    for loader in FLAVOURS:
        assert may_be_dissected(described(tmp_path, DESCRIBED.format(loader)))
    assert not may_be_dissected(described(tmp_path, DESCRIBED.format("mlflow.pytorch")))


@pytest.mark.parametrize("text", ["", "[", "flavors: 3", "flavors: {}", "flavors:\n  sklearn: {}"])
def test_what_describes_no_model_is_none_of_them(tmp_path: Path, text: str) -> None:
    """What is wrong with it, loading tells."""
    assert not may_be_dissected(described(tmp_path, text))


def test_without_a_description_there_is_nothing_to_take_apart(tmp_path: Path) -> None:
    """As with one that is wrong."""
    assert not may_be_dissected(tmp_path)
