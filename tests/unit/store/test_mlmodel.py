"""The file in which MLflow describes a model."""

from pathlib import Path

import pytest
import yaml

from service.store.mlmodel import MLMODEL, DocumentLimitError, read_mlmodel

DESCRIBED = {"flavors": {"sklearn": {"code": None}}, "model_size_bytes": 7, "name": "ünï ✓"}


def test_what_mlflow_wrote_is_read(tmp_path: Path) -> None:
    """As PyYAML's own parser would read it."""
    text = yaml.safe_dump(DESCRIBED, allow_unicode=True)
    (tmp_path / MLMODEL).write_text(text, encoding="utf-8")
    assert read_mlmodel(tmp_path) == DESCRIBED == yaml.safe_load(text)


def test_a_value_may_be_named_and_used_again(tmp_path: Path) -> None:
    """PyYAML writes what is there twice so."""
    twice = ["a", 1]
    text = yaml.safe_dump({"first": twice, "second": twice, "third": {"x": twice}})
    assert "&id001" in text
    (tmp_path / MLMODEL).write_text(text)
    assert read_mlmodel(tmp_path)["third"]["x"] == twice


def aliases(level: int, each: int, leaf: str) -> str:
    """Return a few lines that stand for `each` to the power of `level` leaves."""
    lines = [f"a0: &a0 {leaf}"]
    for n in range(1, level + 1):
        repeated = ", ".join([f"*a{n - 1}"] * each)
        lines.append(f"a{n}: &a{n} [{repeated}]")
    return "\n".join(lines)


@pytest.mark.parametrize(
    ("text", "told"),
    [
        (aliases(10, 10, "x"), "500000 values"),
        (aliases(3, 10, "y" * 100_000), "32000000 characters"),
        ("a: " + "[" * 60 + "]" * 60, "50 levels"),
        ("[x" + ", x" * 600_000 + "]", "500000 values"),
        ("a: &a [*a]", "within"),
        ("a: '" + "x" * 17_000_000 + "'", "16000000 bytes"),
        ("a: 1" + ":1" * 500_000, "number of 1000001 characters"),
        ('a: !!int "-1' + ":59" * 500_000 + '"', "number of 1500002 characters"),
    ],
    ids=["many", "long", "deep", "wide", "in itself", "large", "base 60", "base 60 by its tag"],
)
def test_a_document_beyond_all_limits_is_not_read(tmp_path: Path, text: str, told: str) -> None:
    """It takes no longer than to read its bytes."""
    (tmp_path / MLMODEL).write_text(text)
    with pytest.raises(DocumentLimitError, match=told):
        read_mlmodel(tmp_path)


@pytest.mark.parametrize("text", ["a: " + "9" * 5000, "a: 2024-99-99"])
def test_a_value_that_python_refuses_is_no_yaml_either(tmp_path: Path, text: str) -> None:
    """An integer of too many digits, a day that is none."""
    (tmp_path / MLMODEL).write_text(text)
    with pytest.raises(yaml.YAMLError):
        read_mlmodel(tmp_path)


@pytest.mark.parametrize("text", ["a: [", "!!python/object/apply:os.getcwd []"])
def test_what_is_no_plain_yaml_is_refused(tmp_path: Path, text: str) -> None:
    """Cut short, or made to run something."""
    (tmp_path / MLMODEL).write_text(text)
    with pytest.raises(yaml.YAMLError):
        read_mlmodel(tmp_path)
