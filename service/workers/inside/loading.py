"""Load a stored version's model, after its files were checked: in a worker, or in a compiler."""

import functools
import json
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import SimpleNamespace
from typing import Any, NamedTuple

import mlflow.models.model
import mlflow.pyfunc
import threadpoolctl

from service.contracts.choose import contract_for
from service.contracts.contract import Contract
from service.predictors.hints import with_defaults
from service.store.manifest import verify_stored
from service.store.mlmodel import read_mlmodel, safe_load
from service.workers.inside.late_modules import late_modules
from service.workers.inside.model_folder import ModelFolder
from service.workers.inside.shadowing import give_way
from service.workers.messages import LoadRequest


class Loaded(NamedTuple):
    """A model as MLflow loads it, its contract, and the folder of its own, if it has one."""

    model: Any
    contract: Contract
    folder: ModelFolder | None


def load_model(request: LoadRequest) -> Loaded:
    """Load the model from its folder, or from one of its own with the same files.

    Raise StoreCorruptError for files that are not those that were fetched, FetchFailedError where
    the disk has no room for a folder, SignatureError for a model that does not say what it takes,
    and whatever the model raises.
    """
    path = Path(request.path)
    verify_stored(path, request.digest)
    folder = None
    if request.own_folder:
        folder = ModelFolder(path, Path(request.own_folder), copied=request.copied)
        path = folder.path
    _use_threads(request.threads)
    described = read_mlmodel(path)
    signature = parsed(described.get("signature"))
    contract = contract_for(request.name, signature, refuse_unknown=request.refuse_unknown)
    give_way(path, described, late_modules())
    # Unwarned: the environment gate has told what differs from the version's requirements.
    # MLflow reads the metadata of every installed package for it, which takes 0.4 s each time.
    with _quick_yaml():
        model = mlflow.pyfunc.load_model(str(path), suppress_warnings=True)
    hinted = with_defaults(contract.signature, model)
    if hinted is not contract.signature:
        contract = contract_for(request.name, hinted, refuse_unknown=request.refuse_unknown)
    return Loaded(model, contract, folder)


@contextmanager
def _quick_yaml() -> Iterator[None]:
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


@functools.cache
def numeric_libraries() -> threadpoolctl.ThreadpoolController:
    """Return the numeric libraries that are loaded, once for a process and those it forks.

    To look through all that is loaded takes as long as a small model's load.
    """
    return threadpoolctl.ThreadpoolController()


def _use_threads(threads: int) -> None:
    """Limit the numeric libraries that are loaded, and by the environment those that will be."""
    for variable in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
        os.environ[variable] = str(threads)
    os.environ["LOKY_MAX_CPU_COUNT"] = str(threads)
    numeric_libraries().limit(limits=threads)
    joblib = sys.modules.get("joblib")
    if joblib is not None:
        # Its default would start processes for each call that asks for several jobs, which takes
        # seconds. A model that names a backend gets that one.
        joblib.parallel_config(backend="threading")


def parsed(signature: dict[str, Any] | None) -> dict[str, Any] | None:
    """Parse the parts of an MLmodel file's signature, which are JSON inside YAML."""
    if signature is None:
        return None
    return {
        part: json.loads(value) if isinstance(value, str) else value
        for part, value in signature.items()
    }
