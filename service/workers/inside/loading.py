"""Load a stored version's model, after its files were checked: in a worker, or in a compiler."""

import json
from pathlib import Path
from typing import Any, NamedTuple

import mlflow.pyfunc

from service.contracts.choose import contract_for
from service.contracts.contract import Contract
from service.predictors.hints import with_defaults
from service.store.manifest import verify_stored
from service.store.mlmodel import read_mlmodel
from service.workers.inside.late_modules import late_modules
from service.workers.inside.libraries import quick_yaml, use_threads, without_example
from service.workers.inside.model_folder import ModelFolder
from service.workers.inside.shadowing import make_room
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
    use_threads(request.threads)
    described = read_mlmodel(path)
    signature = parsed(described.get("signature"))
    contract = _contract(request, signature)
    make_room(path, described, late_modules())
    # Unwarned: the environment gate has told what differs from the version's requirements.
    # MLflow reads the metadata of every installed package for it, which takes 0.4 s each time.
    with quick_yaml(), without_example(path):
        model = mlflow.pyfunc.load_model(str(path), suppress_warnings=True)
    hinted = with_defaults(contract.signature, model)
    if hinted is not contract.signature:
        contract = _contract(request, hinted)
    return Loaded(model, contract, folder)


def _contract(request: LoadRequest, signature: dict[str, Any] | None) -> Contract:
    return contract_for(
        request.name,
        signature,
        refuse_unknown=request.refuse_unknown,
        plugins=request.plugins,
    )


def parsed(signature: dict[str, Any] | None) -> dict[str, Any] | None:
    """Parse the parts of an MLmodel file's signature, which are JSON inside YAML."""
    if signature is None:
        return None
    return {
        part: json.loads(value) if isinstance(value, str) else value
        for part, value in signature.items()
    }
