"""The libraries that compiled predictors need, which are an extra."""

import importlib
from typing import Any

from service.predictors.engines.engine import SkippedError

EXTRA = "mlflow-hotswap[compiled]"


def require(name: str) -> Any:
    """Import a library of the extra. Raise SkippedError that says what to install."""
    try:
        return importlib.import_module(name)
    except ImportError as error:
        raise SkippedError(f"{name} can't be imported ({error}): install {EXTRA}") from error
