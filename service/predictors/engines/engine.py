"""The interfaces of engines: converted once into files, then opened from them."""

from collections.abc import Callable
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from service.contracts.contract import Call
from service.predictors.engines.model_parts import ModelParts

Array = np.ndarray[Any, Any]
Transform = Callable[[Call], Array]
"""The steps before an estimator: a call's columns become the matrix that it is given."""
Estimate = Callable[[Array], Any]
"""The estimator: a matrix becomes what the model would answer."""


class SkippedError(Exception):
    """This engine does not apply to this model; says why."""


class BeyondError(Exception):
    """A row that this engine leaves to the model itself; says what it can't tell of it."""


class Steps(Protocol):
    """An engine for what comes before the estimator."""

    def convert(self, parts: ModelParts, folder: Path) -> None:
        """Write what `open` needs into an empty folder; may take long. Raise SkippedError."""
        ...

    def open(self, parts: ModelParts, folder: Path, threads: int) -> Transform:
        """Return the steps, ready to run, using so many threads at most. Raise SkippedError."""
        ...


class Engine(Protocol):
    """An engine for what the estimator does, behind whichever steps."""

    def convert(self, parts: ModelParts, folder: Path) -> None:
        """Write what `open` needs into an empty folder; may take long. Raise SkippedError."""
        ...

    def open(self, parts: ModelParts, folder: Path, threads: int) -> Estimate:
        """Return the estimator, ready to run, using so many threads at most. Raise SkippedError."""
        ...


class WholeEngine(Protocol):
    """An engine for all of what the model does."""

    def convert(self, parts: ModelParts, folder: Path) -> None:
        """Write what `open` needs into an empty folder; may take long. Raise SkippedError."""
        ...

    def open(self, parts: ModelParts, folder: Path, threads: int) -> Callable[[Call], Any]:
        """Return the model, ready to run, using so many threads at most. Raise SkippedError."""
        ...
