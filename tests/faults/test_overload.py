"""More requests than a model can answer, at a rate that does not heed the answers."""

import dataclasses
import os
from pathlib import Path

import pytest

from tests.support import followed
from tests.support.followed import ALIAS
from tools import running_service
from tools.mlflow_server import MlflowServer
from tools.overload import cases, measure
from tools.overload.cases import Case
from tools.overload.plan import percentile
from tools.processes import ProcessTree
from tools.python_models import register_python_model

LONG = bool(os.environ.get("HOTSWAP_LONG_FAULTS"))
LOAD_S = 60.0 if LONG else 8.0
GOODPUT = 0.9 if LONG else 0.75
"""Of a short load the last answers come after its end."""
REFUSED_WITHIN_MS = 500.0
"""Ten times what is promised, on a machine that does other things as well."""
FACTORS = (1.2, 3.0, 10.0) if LONG else (3.0,)
CASES = cases.SLOW if LONG else (cases.SLOW[2],)


@pytest.mark.timeout(600)
@pytest.mark.parametrize("case", CASES, ids=lambda case: case.key)
def test_overload(mlflow_server: MlflowServer, tmp_path: Path, case: Case) -> None:
    """What the model can do it does, the others are refused, nothing is lost, and it ends soon."""
    name = f"overloaded-{case.key}"
    version = register_python_model(mlflow_server, name, cases.MODEL_FILE, case.model)
    mlflow_server.set_alias(name, ALIAS, version)
    if not LONG:
        case = dataclasses.replace(case, limit_s=2.0)
    with running_service.start(
        tmp_path,
        mlflow_server.uri,
        model_uri=followed.pointer(name),
        request_timeout_s=case.limit_s,
        compiled="off",
        **case.settings,
    ) as service:
        server = measure.Server(service.url, ProcessTree(service.process.pid), service.log)
        for factor in FACTORS:
            row = measure.measure(
                server, case, factor, LOAD_S, tree="", settle_s=10.0 if LONG else 0.0
            )
            told = measure.cells(row)
            assert row.goodput >= GOODPUT, told
            assert row.workers_lost == 0, told
            assert row.looks, told
            assert row.red_looks == 0, told
            assert row.outcome.refused_ms, told
            assert percentile(row.outcome.refused_ms, 0.99) <= REFUSED_WITHIN_MS, told
            assert row.outcome.accepted_after_s is not None, told
            assert row.outcome.accepted_after_s <= 2.0, told
            if LONG:
                assert row.grown <= 0.2, told
