"""A model that takes what its config or a row says, and tells what it may do.

`hold_mib` is the memory that it takes at its load, `report` the file that it adds a JSON line to
then. A row of `GROWS` has it take `grow_mib` more.
"""

import json
import os
import resource
import socket
import time
import warnings
from pathlib import Path
from typing import Any

with warnings.catch_warnings():
    warnings.simplefilter("ignore")
    import mlflow
    from mlflow.pyfunc.model import PythonModel

GROWS = -4.0
_MIB = 2**20


class Limited(PythonModel):  # type: ignore[misc]  # MLflow is untyped
    """Answer `y`: the same number."""

    def load_context(self, context: Any) -> None:
        """Take memory, and tell what this process may do."""
        config = dict(context.model_config)
        self.grow_mib = config.get("grow_mib", 0)
        self.held = [_taken(config.get("hold_mib", 0))]
        with Path(config["report"]).open("a", encoding="utf-8") as report:
            report.write(json.dumps(_told()) + "\n")

    # MLflow reads a type hint on `model_input` as a request to be validated, and warns of most.
    def predict(self, context: Any, model_input, params: Any = None):  # type: ignore[no-untyped-def]  # noqa: ANN001, ANN201
        """Answer, or grow first."""
        del context, params
        if model_input["a"].min() == GROWS:
            self.held.append(_taken(self.grow_mib))
            time.sleep(60)
        return model_input[["a"]].rename(columns={"a": "y"})


def _taken(mib: int) -> bytearray:
    return bytearray(os.urandom(_MIB)) * mib


def _told() -> dict[str, object]:
    status = Path("/proc/self/status").read_text()
    try:
        network = str(socket.create_connection(("127.0.0.1", 9), 1))
    except OSError as error:
        network = type(error).__name__
    return {
        "network": network,
        "no_new_privileges": status.partition("NoNewPrivs:")[2].split()[0],
        "files": resource.getrlimit(resource.RLIMIT_NOFILE)[1],
        "environment": sorted(os.environ),
    }


mlflow.models.set_model(Limited())
