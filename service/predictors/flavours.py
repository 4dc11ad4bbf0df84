"""Which models may be called by another engine than MLflow, as far as their files tell."""

from service.core.described import Described

FLAVOURS = {
    "mlflow.sklearn": "sklearn",
    "mlflow.xgboost": "xgboost",
    "mlflow.lightgbm": "lightgbm",
}
"""MLflow's loaders whose unwrapped model is known to answer as the wrapped one does."""


def may_be_unwrapped(described: Described) -> bool:
    """Tell whether a model is of such a kind; only once it is loaded is it known to be."""
    return described.loader in FLAVOURS
