"""How libraries are set while a model is loaded: threads, and what MLflow reads, and by what."""

import functools
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import mlflow.models.model
from mlflow.models import Model

from service.store.mlmodel import safe_load


@contextmanager
def quick_yaml() -> Iterator[None]:
    """Have MLflow read MLmodel, which it does three times, as we do.

    By PyYAML's own parser that takes as long as a small model's load. Replaced is what
    `mlflow/models/model.py` (3.17) knows as `yaml`, and nothing that a model's own code sees.
    """
    names = vars(mlflow.models.model)
    own = names.get("yaml")
    if own is not None:
        names["yaml"] = SimpleNamespace(**{**vars(own), "safe_load": safe_load})
    try:
        yield
    finally:
        if own is not None:
            names["yaml"] = own


@contextmanager
def without_example(path: Path) -> Iterator[None]:
    """Have MLflow leave the input example of the model in `path` unread where no answer needs it.

    MLflow (3.17) reads it with each model, into a frame that takes as long as a small model's load,
    and needs it for a type hint that stands for the example's type alone.
    """
    own = getattr(Model, "load_input_example", None)

    def load_input_example(model: Any, given: str | None = None) -> Any:
        needs_it = getattr(model, "_is_type_hint_from_example", bool)
        return None if given == str(path) and not needs_it() else own(model, given)  # type: ignore[misc]

    if own is not None:
        Model.load_input_example = load_input_example
    try:
        yield
    finally:
        if own is not None:
            Model.load_input_example = own


@functools.cache
def numeric_libraries() -> Any:
    """Return the numeric libraries that are loaded, once for a process and those it forks.

    To look through all that is loaded takes as long as a small model's load. None where an
    environment has no threadpoolctl, which scikit-learn brings.
    """
    try:
        import threadpoolctl  # noqa: PLC0415 - not everywhere
    except ImportError:
        return None
    return threadpoolctl.ThreadpoolController()


def use_threads(threads: int) -> None:
    """Limit the numeric libraries that are loaded, and by variables those that will be."""
    for variable in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
        os.environ[variable] = str(threads)
    os.environ["LOKY_MAX_CPU_COUNT"] = str(threads)
    if (loaded := numeric_libraries()) is not None:
        loaded.limit(limits=threads)
    joblib = sys.modules.get("joblib")
    if joblib is not None:
        # Its default would start processes for each call that asks for several jobs, which takes
        # seconds. A model that names a backend gets that one.
        joblib.parallel_config(backend="threading")
