"""The file in which MLflow describes a model, beside it."""

from pathlib import Path
from typing import IO, Any

import yaml

MLMODEL = "MLmodel"
_LOADER: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
"""LibYAML's where PyYAML was built with it: it takes a tenth of the time."""


def read_mlmodel(root: Path) -> Any:
    """Return what it says, a mapping unless somebody else wrote it.

    Raise OSError where it can't be read, UnicodeDecodeError or yaml.YAMLError where it is no YAML.
    """
    return safe_load((root / MLMODEL).read_text("utf-8"))


def safe_load(stream: str | IO[str]) -> Any:
    """Do what `yaml.safe_load` does. Raise yaml.YAMLError."""
    return yaml.load(stream, Loader=_LOADER)  # noqa: S506 - a safe one
