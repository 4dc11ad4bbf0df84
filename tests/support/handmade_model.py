"""A stored version that was never in a registry: written by hand, as MLflow would write it."""

import json
from pathlib import Path

import yaml

from service.core.versions import StoredVersion
from service.store import manifest
from tests.support.fake_source import a_version

RAISING, KILLING, HANGING = -1.0, -2.0, -3.0
CONTROL = "HANDMADE_CONTROL"
"""The variable that names a folder, whose files say how a worker loads.

With `refuse` it does not. With `write` it writes beside its artifacts and into a small file of its
own, with `change` into a large one.
"""

WEIGHTS = "weights.bin"
_LARGE = 2**21

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
    if (Path(os.environ["{CONTROL}"]) / "write").exists():
        (Path(path) / "cache.bin").write_text(str(time.time()))
        with (Path(path) / "MLmodel").open("a") as described:
            described.write("# changed")
    if (Path(os.environ["{CONTROL}"]) / "change").exists():
        with (Path(path) / "{WEIGHTS}").open("r+b") as weights:
            weights.write(b"changed")
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
    (model / WEIGHTS).write_bytes(bytes(_LARGE))
    described = {
        "flavors": {"python_function": {"loader_module": "handmade_code", "code": "code"}},
        "signature": _SIGNATURE,
    }
    (model / "MLmodel").write_text(yaml.safe_dump(described), encoding="utf-8")
    content = manifest.build(model)
    manifest.write(folder / manifest.MANIFEST_NAME, content)
    return StoredVersion(a_version(1, name="handmade"), model, content.digest)
