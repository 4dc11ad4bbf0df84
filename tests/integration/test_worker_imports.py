"""A worker that is not forked imports what its model and its bodies need, and little else."""

import json
import subprocess
import sys
import warnings
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow as pa

from service.store import manifest
from service.store.compiled_files import FILES
from tests.support.model_zoo import ZOO, fitted
from tests.support.wrapped import wrap
from tools.arrow_bodies import stream

with warnings.catch_warnings():
    warnings.simplefilter("ignore")  # MLflow's own, at import
    import mlflow
    from mlflow.models import infer_signature

    from service.predictors.choosing.compiling import compile_model

ROOT = Path(__file__).parents[2]
TINY = ROOT / "tools" / "tiny_model.py"
FRAME = pd.DataFrame({"a": [1.0, 2.0]})
ARROW = "service.codecs.arrow"
ENGINES = "service.predictors.engines."
UNWANTED = ("sklearn", ARROW, "service.predictors.choosing", "service.compiling")
"""By what a module's name begins that a worker does not start with."""
ASK = """
import json, sys
from pathlib import Path
from service.workers.inside.worker import Worker
from service.codecs.catalog import ARROW
from service.workers.messages import LoadRequest, RawRequest, SmokeRequest

folder, digest, compiled = sys.argv[1:]
told = {"started": list(sys.modules)}
worker = Worker()
load = LoadRequest(folder + "/model", digest, "m", False, 1, compiled=compiled)
reply = worker.load(load)
told["reason"] = reply.activated.reason
worker.smoke(SmokeRequest())
json_body = Path(folder, "body.json").read_bytes()
told["json"] = worker.predict_raw(RawRequest(body=json_body)).rows
told["answered"] = list(sys.modules)
arrow = RawRequest(ARROW, ARROW, 2**20, body=Path(folder, "body.arrow").read_bytes())
told["arrow"] = worker.predict_raw(arrow).rows
told["by Arrow"] = list(sys.modules)
print(json.dumps(told))
"""


def told_by_a_worker(folder: Path, rows: pd.DataFrame, compiled: str = "") -> dict[str, Any]:
    """Have a fresh interpreter load the model there, answer rows, and tell what it imported."""
    recorded = manifest.build(folder / "model")
    manifest.write(folder / manifest.MANIFEST_NAME, recorded)
    instances = rows.to_dict(orient="records")
    (folder / "body.json").write_text(json.dumps({"instances": instances}))
    (folder / "body.arrow").write_bytes(stream(pa.Table.from_pandas(rows, preserve_index=False)))
    done = subprocess.run(
        [sys.executable, "-c", ASK, str(folder), recorded.digest, compiled],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    assert done.returncode == 0, done.stderr
    told: dict[str, Any] = json.loads(done.stdout)
    return told


def unwanted(modules: list[str]) -> list[str]:
    """Return the modules that a worker should be without."""
    return [name for name in modules if name.startswith(UNWANTED)]


def test_a_model_of_python_code_is_served_without_scikit_learn_and_arrow(tmp_path: Path) -> None:
    """Our Arrow code comes with the first Arrow body."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        mlflow.pyfunc.save_model(
            tmp_path / "model",
            python_model=str(TINY),
            model_config={"factor": 2.0},
            signature=infer_signature(FRAME, FRAME.rename(columns={"a": "y"})),
        )
    told = told_by_a_worker(tmp_path, FRAME)
    assert unwanted(told["started"]) == unwanted(told["answered"]) == []
    assert told["json"] == told["arrow"] == 2
    now = unwanted(told["by Arrow"])
    assert now
    assert all(name.startswith(ARROW) for name in now)


def test_only_engines_that_are_opened_are_imported(tmp_path: Path) -> None:
    """And none of what the compiler found them by."""
    model, rows = fitted(ZOO["linear"])
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        mlflow.sklearn.save_model(
            model, tmp_path / "model", signature=infer_signature(rows, model.predict(rows))
        )
    wrapped = wrap(model, rows, tmp_path / "model")
    place = tmp_path / "compiled"
    files = place / FILES
    files.mkdir(parents=True)
    compile_model(wrapped.model, wrapped.contract, wrapped.folder, files, 1, 1e-12, first=True)
    manifest.write(place / manifest.MANIFEST_NAME, manifest.build(files))
    told = told_by_a_worker(tmp_path, rows.head(3), str(place))
    assert told["reason"] == ""
    assert [name for name in unwanted(told["answered"]) if not name.startswith("sklearn")] == []
    engines = {name.removeprefix(ENGINES) for name in told["answered"] if name.startswith(ENGINES)}
    assert "model_parts" in engines
    assert engines.isdisjoint({"trees", "forest", "llvm_forest", "boosters", "boosting"})
