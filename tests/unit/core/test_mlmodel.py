"""The file in which MLflow describes a model."""

from pathlib import Path

import pytest
import yaml

from service.core.mlmodel import MLMODEL, read_mlmodel

DESCRIBED = {"flavors": {"sklearn": {"code": None}}, "model_size_bytes": 7, "name": "ünï ✓"}


def test_what_mlflow_wrote_is_read(tmp_path: Path) -> None:
    """As PyYAML's own parser would read it."""
    text = yaml.safe_dump(DESCRIBED, allow_unicode=True)
    (tmp_path / MLMODEL).write_text(text, encoding="utf-8")
    assert read_mlmodel(tmp_path) == DESCRIBED == yaml.safe_load(text)


@pytest.mark.parametrize("text", ["a: [", "!!python/object/apply:os.getcwd []"])
def test_what_is_no_plain_yaml_is_refused(tmp_path: Path, text: str) -> None:
    """Cut short, or made to run something."""
    (tmp_path / MLMODEL).write_text(text)
    with pytest.raises(yaml.YAMLError):
        read_mlmodel(tmp_path)
