"""Models of tests that are a file of code."""

from pathlib import Path

from tools.mlflow_server import MlflowServer
from tools.python_models import register_python_model

SUPPORT = Path(__file__).parent
PICKY = SUPPORT / "picky_model.py"
ZOO = SUPPORT / "zoo_model.py"
SHIPPING = SUPPORT / "shipping_model.py"

RAISES, NOT_FINITE, HANGS = 666_000.5, 777_000.5, 999_000.5
"""Values for which the picky model raises, answers NaN, and does not answer."""


def register_picky(server: MlflowServer, name: str, **config: object) -> str:
    """Register the picky model, whose file says what the config may hold."""
    config = {"raises": RAISES, "not_finite": NOT_FINITE, "hangs": HANGS, **config}
    return register_python_model(server, name, PICKY, config)
