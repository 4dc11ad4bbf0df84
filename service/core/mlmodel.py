"""The file in which MLflow describes a model, beside it."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import yaml

MLMODEL = "MLmodel"
_LOADER: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
"""LibYAML's where PyYAML was built with it: it takes a tenth of the time."""


def read_mlmodel(root: Path) -> Any:
    """Return what it says, a mapping unless somebody else wrote it.

    Raise OSError where it can't be read, UnicodeDecodeError or yaml.YAMLError where it is no YAML.
    """
    return yaml.load((root / MLMODEL).read_text("utf-8"), Loader=_LOADER)  # noqa: S506 - a safe one


@contextmanager
def libyaml() -> Iterator[None]:
    """Have `yaml.safe_load` use LibYAML meanwhile, in the whole process.

    MLflow reads a model's file three times to load it, by PyYAML's own parser, which takes longer
    than a small model's load (`mlflow/models/model.py`, 3.17).
    """
    own = yaml.SafeLoader
    yaml.SafeLoader = _LOADER  # type: ignore[misc]
    try:
        yield
    finally:
        yaml.SafeLoader = own  # type: ignore[misc]
