"""More requests than a model can answer, at a rate that does not heed the answers."""

import os
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support import followed
from tests.support.followed import ALIAS
from tools import running_service
from tools.mlflow_server import MlflowServer, free_port, unique_name
from tools.overload import cases, measure, together
from tools.overload.cases import Case
from tools.overload.measure import Load
from tools.overload.plan import ANSWERED, REFUSED, percentile
from tools.overload.protocols import PROTOCOLS, CallProtocol
from tools.overload.row import Row, cells
from tools.overload.server import Server
from tools.processes import ProcessTree
from tools.python_models import register_python_model

LONG = bool(os.environ.get("HOTSWAP_LONG_FAULTS"))
LOAD_S = 60.0 if LONG else 3.0
SETTLE_S = 10.0 if LONG else 0.0
GOODPUT = 0.9 if LONG else 0.75
"""Of a short load the last answers come after its end."""
OTHERS = 0.02
"""Of what is let in, some is too late all the same where the machine is slower than it was."""
REFUSED_WITHIN_MS = 500.0
"""Ten times what is promised, on a machine that does other things as well."""
FACTORS = cases.FACTORS if LONG else (3.0,)
CASES = cases.SLOW if LONG else (cases.QUICK,)


@pytest.fixture(scope="module", params=CASES, ids=lambda case: case.key)
def overloaded(
    request: pytest.FixtureRequest,
    mlflow_server: MlflowServer,
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[tuple[Server, Case, str]]:
    """Serve one slow model for all protocols, under this name."""
    case: Case = request.param
    name = registered(mlflow_server, case)
    port = free_port()
    with running_service.start(
        tmp_path_factory.mktemp("overloaded"),
        mlflow_server.uri,
        model_uri=followed.pointer(name),
        request_timeout_s=case.limit_s,
        compiled="off",
        grpc_port=port,
        **case.settings,
    ) as service:
        tree = ProcessTree(service.process.pid)
        yield Server(service.url, tree, service.log, port), case, name


@pytest.mark.timeout(600)
@pytest.mark.parametrize("protocol", PROTOCOLS, ids=lambda protocol: protocol.key)
def test_overload(overloaded: tuple[Server, Case, str], protocol: CallProtocol) -> None:
    """What the model can do it does, the others are refused, nothing is lost, and it ends soon."""
    server, case, model = overloaded
    for factor in FACTORS:
        load = Load(case.by(protocol), model, factor)
        for row in measure.measure(server, [load], LOAD_S, tree="", settle_s=SETTLE_S):
            check(row)


@pytest.mark.skipif(not LONG, reason="takes minutes: HOTSWAP_LONG_FAULTS=1")
@pytest.mark.timeout(600)
def test_several_models_together(mlflow_server: MlflowServer, tmp_path: Path) -> None:
    """Each by a protocol of its own: what is promised of one model holds for each of them."""
    uris = [followed.pointer(registered(mlflow_server, case)) for case in together.CASES]
    file = tmp_path / "models.toml"
    file.write_text(together.models_file(uris), "utf-8")
    port = free_port()
    with running_service.start(
        tmp_path / "service",
        mlflow_server.uri,
        models_file=file,
        ready_when="all",
        compiled="off",
        grpc_port=port,
    ) as service:
        server = Server(service.url, ProcessTree(service.process.pid), service.log, port)
        for row in measure.measure(server, together.LOADS, LOAD_S, tree="", settle_s=SETTLE_S):
            check(row)


def registered(server: MlflowServer, case: Case) -> str:
    """Register the model of a case, and promote it; return its name."""
    name = unique_name(f"overloaded-{case.key}")
    version = register_python_model(server, name, cases.MODEL_FILE, case.model)
    server.set_alias(name, ALIAS, version)
    return name


def check(row: Row) -> None:
    """Hold what was measured against what is promised."""
    told = cells(row)
    assert row.goodput >= GOODPUT, told
    assert row.workers_lost == 0, told
    assert row.looks, told
    assert row.red_looks == 0, told
    assert row.outcome.refused_ms, told
    assert row.outcome.broken == 0, told
    statuses = Counter(row.outcome.statuses)
    others = statuses.total() - sum(statuses[one] for one in ANSWERED | REFUSED)
    assert others <= OTHERS * statuses.total(), told
    assert percentile(row.outcome.refused_ms, 0.99) <= REFUSED_WITHIN_MS, told
    assert row.outcome.accepted_after_s is not None, told
    assert row.outcome.accepted_after_s <= 2.0, told
    if LONG:
        assert row.grown <= 0.2, told
