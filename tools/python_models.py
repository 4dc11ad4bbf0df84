"""Register models that are a file of code: no pickle, and ready in well under a second."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pandas as pd

from tools.mlflow_server import MlflowServer


def register_python_model(
    server: MlflowServer,
    name: str,
    file: Path,
    config: Mapping[str, object],
    *,
    example: Any = None,
    signature: Any = None,
    code_paths: Sequence[Path] = (),
) -> str:
    """Register what `file` makes of the config; without a signature it is `a` in, `y` out.

    With an example MLflow loads the model here, and has it predict. Returns the version number.
    """
    with server.active() as mlflow:
        if signature is None:
            inputs, outputs = pd.DataFrame({"a": [1.0]}), pd.DataFrame({"y": [1.0]})
            signature = mlflow.models.infer_signature(inputs, outputs)
        return server.register(
            name,
            mlflow.pyfunc.log_model,
            python_model=str(file),
            model_config=dict(config),
            input_example=example,
            signature=signature,
            code_paths=[str(path) for path in code_paths] or None,
        )
