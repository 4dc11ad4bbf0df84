"""Take a loaded pyfunc model apart: what MLflow wraps, the steps in it, and its estimator."""

import sys
from typing import Any, NamedTuple

from service.contracts.contract import Contract
from service.predictors.flavours import FLAVOURS

METHODS = ("predict", "predict_proba", "predict_log_proba", "decision_function")


class NotUnwrappedError(Exception):
    """A model that can only be called through MLflow; says why."""


class ModelParts(NamedTuple):
    """The parts of a model: `steps` are fitted transformers, `estimator` is what they feed.

    `raw` is all of it, and `method` the name of what MLflow calls on it. `contract` says what
    comes in and how the answers are called.
    """

    flavour: str
    raw: Any
    method: str
    steps: tuple[Any, ...]
    estimator: Any
    contract: Contract


def why_pyfunc_only(model: Any, contract: Contract) -> str:
    """Say why a loaded model can only be called through MLflow, '' where it can be unwrapped."""
    try:
        unwrap(model, contract)
    except NotUnwrappedError as error:
        return str(error)
    return ""


def unwrap(model: Any, contract: Contract) -> ModelParts:
    """Take apart what `mlflow.pyfunc.load_model` returned. Raise NotUnwrappedError."""
    described = model.metadata.flavors.get("python_function", {})
    flavour = FLAVOURS.get(described.get("loader_module", ""))
    if flavour is None:
        loader = described.get("loader_module") or "unknown"
        raise NotUnwrappedError(f"models of {loader} are called through MLflow alone")
    if contract.signature["params"]:
        raise NotUnwrappedError("the model takes parameters, which MLflow hands to it")
    method = described.get("predict_fn", "predict")
    if not hasattr(model, "get_raw_model"):
        raise NotUnwrappedError("this release of MLflow does not hand out the model itself")
    raw = model.get_raw_model()
    if method not in METHODS or not hasattr(raw, method):
        raise NotUnwrappedError(f"its predict_fn is {method}")
    steps: tuple[Any, ...] = ()
    estimator = raw
    while _is_pipeline(estimator):
        *before, estimator = (step for _, step in estimator.steps)
        steps += tuple(inner for step in before for inner in chain_of(step))
    return ModelParts(flavour, raw, method, steps, estimator, contract)


def chain_of(transformer: Any) -> list[Any]:
    """Return what is called one after another."""
    if _is_pipeline(transformer):
        return [step for _, inner in transformer.steps for step in chain_of(inner)]
    if transformer is None or (isinstance(transformer, str) and transformer == "passthrough"):
        return []
    return [transformer]


def _is_pipeline(found: Any) -> bool:
    # Where there is such an object its module is loaded: a model of another kind needs none of it.
    module = sys.modules.get("sklearn.pipeline")
    return module is not None and isinstance(found, module.Pipeline)
