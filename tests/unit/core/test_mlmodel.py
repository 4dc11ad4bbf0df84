"""The file in which MLflow describes a model."""

from pathlib import Path

import pytest
import yaml

from service.core.mlmodel import MLMODEL, libyaml, read_mlmodel

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


def test_libyaml_is_used_meanwhile_alone() -> None:
    """And safely all the same; whatever is raised, the loader before comes back."""
    own: object = yaml.SafeLoader
    with libyaml():
        seen: object = yaml.SafeLoader
        assert yaml.safe_load("a: 1") == {"a": 1}
        with pytest.raises(yaml.YAMLError):
            yaml.safe_load("!!python/object/apply:os.getcwd []")
    assert seen is getattr(yaml, "CSafeLoader", own)
    with pytest.raises(ValueError, match="of its own"), libyaml():
        raise ValueError("of its own")
    assert yaml.SafeLoader is own
