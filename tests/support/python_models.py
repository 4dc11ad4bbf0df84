"""Register models that are a file of code: no pickle, and ready in well under a second."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pandas as pd

from tests.support.mlflow_server import MlflowServer

SUPPORT = Path(__file__).parent
PICKY = SUPPORT / "picky_model.py"
ZOO = SUPPORT / "zoo_model.py"
SHIPPING = SUPPORT / "shipping_model.py"


def register_python_model(
    server: MlflowServer,
    name: str,
    file: Path,
    *,
    example: Any = None,
    signature: Any = None,
    code_paths: Sequence[Path] = (),
    **config: object,
) -> str:
    """Register what `file` makes of the config; without a signature it is `a` in, `y` out.

    Returns the version number.
    """
    with server.active() as mlflow:
        if signature is None:
            example = pd.DataFrame({"a": [1.0, 2.0, 5.0]})
            signature = mlflow.models.infer_signature(example, pd.DataFrame({"y": [1.0]}))
        return server.register(
            name,
            mlflow.pyfunc.log_model,
            python_model=str(file),
            model_config=config,
            input_example=example,
            signature=signature,
            code_paths=[str(path) for path in code_paths] or None,
        )
