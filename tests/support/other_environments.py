"""Environments with real packages and other Pythons, and versions that were logged in them."""

import json
import os
import subprocess
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import msgspec
import pytest
from uv import find_uv_bin

from service.core.environments import Environment
from service.core.versions import StoredVersion
from service.store import manifest
from tests.support.fake_source import a_version
from tools.saved_forest import saving_command

_INSTALL_S = 600.0
_SAVE_S = 300.0
_WANTS = "uv finds no index: set UV_INDEX_URL, or allow the network"

_SAVE = """
import importlib.util, json, sys, warnings
warnings.simplefilter("ignore")
import mlflow.pyfunc, numpy as np, pandas as pd
from mlflow.models import ModelSignature
from mlflow.types.schema import ColSpec, Schema

class Telling(mlflow.pyfunc.PythonModel):
    def predict(self, context, model_input, params=None):
        import platform
        rows = len(model_input)
        return pd.DataFrame({
            "y": model_input["a"] * 2 + model_input["n"],
            "named": model_input["s"].astype(str) + "!",
            "numpy": [np.__version__] * rows,
            "pandas": [pd.__version__] * rows,
            "python": [platform.python_version()] * rows,
        })

inputs = Schema([ColSpec("double", "a"), ColSpec("long", "n"), ColSpec("string", "s")])
outputs = Schema([ColSpec("double", "y"), *(
    ColSpec("string", name) for name in ("named", "numpy", "pandas", "python")
)])
rows = pd.DataFrame({"a": [1.5, -2.0], "n": [1, 7], "s": ["x", "zoé"]})
mlflow.pyfunc.save_model(
    sys.argv[1],
    python_model=Telling(),
    signature=ModelSignature(inputs, outputs),
    pip_requirements=["mlflow-skinny"],
    input_example=rows,
)
answer = mlflow.pyfunc.load_model(sys.argv[1]).predict(rows)
print("told", json.dumps({
    "mlflow": mlflow.__version__,
    "arrow": importlib.util.find_spec("pyarrow") is not None,
    "rows": answer.to_dict("records"),
}))
"""


class OtherEnvironment(msgspec.Struct, frozen=True):
    """An environment, a version that was logged in it, and what `mlflow.pyfunc` answers there."""

    environment: Environment
    stored: StoredVersion
    mlflow: str
    has_arrow: bool
    answers: list[dict[str, Any]]


def made(folder: Path, python: str, packages: Sequence[str]) -> OtherEnvironment:
    """Make an environment of a Python such as `3.10`, and log a version in it.

    The test is skipped where there is no such Python, or no index.
    """
    uv = find_uv_bin()
    found = subprocess.run(
        [uv, "python", "find", "--no-python-downloads", "--system", python],
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, "PATH": _path()},
    )
    if found.returncode:
        pytest.skip(f"no Python {python}: {found.stderr.strip()}")
    place = folder / "environment"
    _run([uv, "venv", "-q", "--python", found.stdout.strip(), str(place)], _INSTALL_S)
    interpreter = place / "bin" / "python"
    install = [uv, "pip", "install", "-q", "--compile-bytecode", "--python", str(interpreter)]
    try:
        _run([*install, *packages], _INSTALL_S)
    except subprocess.CalledProcessError as error:
        if "error sending request" in error.stderr or "dns error" in error.stderr:
            pytest.skip(_WANTS)
        raise
    model = folder / "model"
    said = _run([str(interpreter), "-c", _SAVE, str(model)], _SAVE_S)
    told = json.loads(next(line for line in said.splitlines() if line.startswith("told "))[5:])
    return OtherEnvironment(
        Environment(f"{python}-{folder.name}", str(interpreter), told["rows"][0]["python"]),
        _stored(model, "telling"),
        told["mlflow"],
        told["arrow"],
        told["rows"],
    )


def log_forest(other: OtherEnvironment, folder: Path) -> StoredVersion | None:
    """Log a forest in an environment; None where that has no scikit-learn."""
    interpreter = other.environment.interpreter
    model = folder / "forest"
    try:
        _run([interpreter, "-c", "import sklearn"], _SAVE_S)
    except subprocess.CalledProcessError:
        return None
    command = saving_command(interpreter, model, columns=4, trees=20, requirement="mlflow-skinny")
    _run(command, _SAVE_S)
    return _stored(model, "forest")


def _stored(model: Path, name: str) -> StoredVersion:
    content = manifest.build(model)
    manifest.write(model.parent / manifest.MANIFEST_NAME, content)
    return StoredVersion(a_version(1, name=name), model, content.digest)


def _path() -> str:
    """Return where programs are, but pyenv's own Pythons instead of what stands for them."""
    root = Path(os.environ.get("PYENV_ROOT", Path.home() / ".pyenv"))
    shims = str(root / "shims")
    places = [place for place in os.environ["PATH"].split(os.pathsep) if place != shims]
    return os.pathsep.join([*places, *map(str, sorted(root.glob("versions/*/bin")))])


def _run(command: Sequence[str], timeout_s: float) -> str:
    variables = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    ran = subprocess.run(
        command, capture_output=True, text=True, timeout=timeout_s, check=True, env=variables
    )
    return ran.stdout
