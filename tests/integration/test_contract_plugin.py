"""A contract that a team has written, as docs/contracts.md shows it, beside a real model."""

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from tests.support import documented_contract, followed
from tools.mlflow_server import MlflowServer, unique_name
from tools.python_models import register_python_model

MODEL = """
import mlflow
from mlflow.pyfunc.model import PythonModel


class Wine(PythonModel):
    def predict(self, context, model_input, params=None):
        return (model_input["alcohol"] + model_input["free_so2"]).to_frame("quality")


mlflow.models.set_model(Wine())
"""
CARELESS = """

class CarelessRow(WineRow):
    def __post_init__(self) -> None:
        super().__post_init__()
        if self.alcohol == 66:
            raise KeyError("a defect of the rule")
"""
RAW_BYTES = 4_000
GOOD = {"alcohol": 12.5, "free_so2": 20.0, "total_so2": 30.0}
BAD = {**GOOD, "free_so2": 40.0}
DEFECTIVE = {**GOOD, "alcohol": 66.0}


@pytest.fixture(scope="module")
def wine(mlflow_server: MlflowServer, tmp_path_factory: pytest.TempPathFactory) -> str:
    """Register the model and promote it; return its name."""
    file = tmp_path_factory.mktemp("wine") / "wine_model.py"
    file.write_text(MODEL)
    name = unique_name("wine")
    with mlflow_server.active() as mlflow:
        signature = mlflow.models.infer_signature(
            pd.DataFrame([GOOD]), pd.DataFrame({"quality": [1.0]})
        )
    register_python_model(mlflow_server, name, file, {}, signature=signature)
    mlflow_server.set_alias(name, followed.ALIAS, 1)
    return name


def test_the_documented_contract_is_held_wherever_a_body_is_read(
    mlflow_server: MlflowServer, wine: str, tmp_path: Path
) -> None:
    """In the server process, as rows and columns; and in a worker, which reads what is large.

    A rule that raises what is none of its business is a defect of the service's, to its callers.
    """
    # The folder in which the service runs is on its path.
    code = documented_contract.code_of("python") + CARELESS
    documented_contract.install(tmp_path, name=wine, code=code, value="wine_rules:CarelessRow")
    settings = {"raw_body_bytes": RAW_BYTES}
    with followed.serving(tmp_path, mlflow_server.uri, wine, **settings) as service:
        assert service.predict(GOOD).json()["predictions"] == [{"quality": 32.5}]
        place = {
            "path": "instances[1]",
            "row": 1,
            "expected": "free_so2 of at most total_so2",
            "got": "an object with alcohol, free_so2, total_so2",
        }
        many = [GOOD, BAD, *[GOOD] * (RAW_BYTES // 40)]
        for rows in ([GOOD, BAD], many):
            answer = service.predict(*rows)
            assert answer.status_code == 400
            assert place.items() <= answer.json().items()
        for rows in ([DEFECTIVE], [DEFECTIVE, *[GOOD] * len(many)]):
            assert service.predict(*rows).status_code == 500
        columns: dict[str, Any] = {name: [GOOD[name], BAD[name]] for name in GOOD}
        answer = service.post("/predict", {"columns": columns})
        assert (answer.status_code, answer.json()["path"]) == (400, "columns")
        good = service.predict(*[GOOD] * len(many))
        assert good.json()["predictions"] == [{"quality": 32.5}] * len(many)


def test_a_contract_that_cannot_be_used_refuses_the_version(
    mlflow_server: MlflowServer, wine: str, tmp_path: Path
) -> None:
    """`hotswap check` says why, in a sentence."""
    site = documented_contract.install(tmp_path / "site", code="raise OSError('no')", name=wine)
    ended = subprocess.run(
        [sys.executable, "-m", "service", "check"],
        env={
            **os.environ,
            "PYTHONPATH": os.pathsep.join((str(site), os.environ.get("PYTHONPATH", ""))),
            "MLFLOW_TRACKING_URI": mlflow_server.uri,
            "MODEL_URI": followed.pointer(wine),
            "CACHE_DIR": str(tmp_path / "cache"),
        },
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert ended.returncode == 1
    last = ended.stdout.splitlines()[-1]
    assert f"the contract that is installed for {wine} (hotswap.contracts) is of no use" in last
    assert "wine_rules:WineRow can't be imported: OSError: no" in last
