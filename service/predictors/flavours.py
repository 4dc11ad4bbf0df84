"""Which models may be called in another way than through MLflow, as far as their files tell."""

from pathlib import Path

import yaml

from service.core.mlmodel import read_mlmodel

FLAVOURS = {
    "mlflow.sklearn": "sklearn",
    "mlflow.xgboost": "xgboost",
    "mlflow.lightgbm": "lightgbm",
}
"""MLflow's loaders whose unwrapped model is known to answer as the wrapped one does."""


def may_be_dissected(model_dir: Path) -> bool:
    """Tell whether a model is of such a kind; only once it is loaded is it known to be."""
    try:
        flavours = read_mlmodel(model_dir)["flavors"]
        return flavours["python_function"]["loader_module"] in FLAVOURS
    except (OSError, UnicodeDecodeError, yaml.YAMLError, LookupError, TypeError):
        # What is wrong with it, loading tells.
        return False
