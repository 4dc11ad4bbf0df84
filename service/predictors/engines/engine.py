"""What a compiled way of answering is: converted once into files, opened from them ever after."""

from collections.abc import Callable
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from service.contracts.contract import Call
from service.predictors.engines.model_parts import Anatomy

Array = np.ndarray[Any, Any]
Transform = Callable[[Call], Array]
"""The steps before an estimator: a call's columns become the matrix that it is given."""
Estimate = Callable[[Array], Any]
"""The estimator: a matrix becomes what the model would answer."""


class SkippedError(Exception):
    """This way does not apply to this model; says why."""


class BeyondError(Exception):
    """A row that this way leaves to the model itself; says what it can't tell of it."""


class Steps(Protocol):
    """A way to do what comes before the estimator."""

    def convert(self, anatomy: Anatomy, folder: Path) -> None:
        """Write what `open` needs into an empty folder; may take long. Raise SkippedError."""
        ...

    def open(self, anatomy: Anatomy, folder: Path, threads: int) -> Transform:
        """Return the steps, ready to run, using so many threads at most. Raise SkippedError."""
        ...


class Recipe(Protocol):
    """A way to do what the estimator does, behind whichever steps."""

    def convert(self, anatomy: Anatomy, folder: Path) -> None:
        """Write what `open` needs into an empty folder; may take long. Raise SkippedError."""
        ...

    def open(self, anatomy: Anatomy, folder: Path, threads: int) -> Estimate:
        """Return the estimator, ready to run, using so many threads at most. Raise SkippedError."""
        ...


class WholeRecipe(Protocol):
    """A way to do all of what the model does at once."""

    def convert(self, anatomy: Anatomy, folder: Path) -> None:
        """Write what `open` needs into an empty folder; may take long. Raise SkippedError."""
        ...

    def open(self, anatomy: Anatomy, folder: Path, threads: int) -> Callable[[Call], Any]:
        """Return the model, ready to run, using so many threads at most. Raise SkippedError."""
        ...
