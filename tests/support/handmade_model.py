"""A stored version that was never in a registry: written by hand, as MLflow would write it."""

import json
from pathlib import Path

import yaml

from service.core import manifest
from service.core.versions import StoredVersion
from tests.support.fake_source import a_version

RAISING, KILLING, HANGING = -1.0, -2.0, -3.0
CONTROL = "HANDMADE_CONTROL"
"""The variable that names a folder; while it holds a file `refuse`, no worker loads."""

_CODE = f"""
import os
import time
from pathlib import Path


class Model:
    def predict(self, data, params=None):
        worst = data["a"].min()
        if worst == {RAISING}:
            raise ValueError("as told")
        if worst == {KILLING}:
            print("as told", flush=True)
            os._exit(7)
        if worst == {HANGING}:
            time.sleep(600)
        return data["a"].to_numpy() + 0.5


def _load_pyfunc(path):
    if (Path(os.environ["{CONTROL}"]) / "refuse").exists():
        raise RuntimeError("not this time")
    return Model()
"""
_SIGNATURE = {
    "inputs": json.dumps([{"type": "double", "name": "a", "required": True}]),
    "outputs": json.dumps([{"type": "double", "name": "y", "required": True}]),
    "params": None,
}


def make(folder: Path) -> StoredVersion:
    """Write the version below a folder, with its manifest."""
    model = folder / "model"
    (model / "code").mkdir(parents=True)
    (model / "code" / "handmade_code.py").write_text(_CODE, encoding="utf-8")
    described = {
        "flavors": {"python_function": {"loader_module": "handmade_code", "code": "code"}},
        "signature": _SIGNATURE,
    }
    (model / "MLmodel").write_text(yaml.safe_dump(described), encoding="utf-8")
    content = manifest.build(model)
    manifest.write(folder / manifest.MANIFEST_NAME, content)
    return StoredVersion(a_version(1, name="handmade"), model, content.digest)
