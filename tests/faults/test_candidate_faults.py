"""A candidate that is no good, or has bad luck: it changes nothing that is served."""

import os
import signal
import sys
from collections.abc import Iterator
from typing import Any

import pytest

from tests.support import followed, footprint
from tests.support.followed import ALIAS
from tests.support.footprint import Footprint
from tools.load import STEADY_S, Hammer
from tools.mlflow_server import MlflowServer
from tools.running_service import RunningService

CLIENTS = 3
LOAD_TIMEOUT_S = 3.0
FACTOR = 2.0
OVER = {"unloaded", "failed"}
TIMED_OUT = f"within {LOAD_TIMEOUT_S:g} s"


@pytest.fixture(scope="module")
def name(mlflow_server: MlflowServer) -> str:
    """Register a model whose versions 1 and 2 do as their rows say."""
    return followed.register_unruly(mlflow_server, "candidates", FACTOR, FACTOR)


@pytest.fixture(scope="module")
def service(
    mlflow_server: MlflowServer, name: str, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[RunningService]:
    """Serve version 1, for all tests of this module; what is opened once is open then."""
    with followed.serving(
        tmp_path_factory.mktemp("candidates"),
        mlflow_server.uri,
        name,
        load_timeout_s=LOAD_TIMEOUT_S,
        keep_warm=False,
    ) as running:
        for version in ("2", "1"):
            mlflow_server.set_alias(name, ALIAS, version)
            running.wait_serving(version)
        yield running


@pytest.fixture
def before(service: RunningService) -> Footprint:
    """Count what the service takes before the fault, once nothing of an earlier one is left."""
    service.wait_until(
        lambda: len([v for v in service.info()["versions"] if v["state"] not in OVER]) == 1,
        "only one version lives",
    )
    return Footprint.of(service)


def _hammer(service: RunningService) -> Hammer:
    return Hammer(
        service.url,
        CLIENTS,
        instance=lambda number: {"a": number, "do": ""},
        pause_s=STEADY_S,
    )


def _last_promotion(service: RunningService) -> dict[str, Any]:
    last: dict[str, Any] = service.info()["promotions"][0]
    return last


def _refused(
    service: RunningService,
    mlflow_server: MlflowServer,
    name: str,
    **misbehaviour: str,
) -> dict[str, Any]:
    """Promote a bad version under load; return what is told of its promotion.

    Fail if any request failed, or was answered by anything but version 1.
    """
    with _hammer(service) as hammer:
        version = mlflow_server.register_unruly(name, 5.0, **misbehaviour)
        mlflow_server.set_alias(name, ALIAS, version)
        service.wait_until(
            lambda: (
                (last := _last_promotion(service))["version"] == version
                and last["ending"] != "under way"
            ),
            f"version {version} came to its end",
        )
        promotion = _last_promotion(service)
        health = service.get("/health").json()
        answered = len(hammer.all)
        service.wait_until(lambda: len(hammer.all) > answered + 50, "answers go on")
    mlflow_server.set_alias(name, ALIAS, 1)
    service.wait_until(lambda: service.info()["registry"]["promoted_version"] == "1", "1 promoted")
    assert (health["model_version"], health["promoted_version"]) == ("1", version)
    assert hammer.failed == []
    assert hammer.mixed({"1": FACTOR}) == []
    assert promotion["ending"] == "refused"
    assert promotion["reason"] in health["degraded"]
    return promotion


@pytest.mark.parametrize(
    ("on_load", "reason"),
    [
        pytest.param("raise", "told to raise", id="raises"),
        pytest.param("exit", "told to exit", id="kills-its-process"),
        pytest.param("hang", TIMED_OUT, id="hangs"),
        pytest.param("spin", TIMED_OUT, id="holds-the-GIL"),
    ],
)
def test_a_candidate_that_fails_to_load(
    service: RunningService,
    mlflow_server: MlflowServer,
    name: str,
    before: Footprint,
    on_load: str,
    reason: str,
) -> None:
    """Refused with its last words or its time limit; 0 requests fail and nothing of it stays."""
    promotion = _refused(service, mlflow_server, name, on_load=on_load)
    assert promotion["reason"].startswith("refused by the load gate: ")
    assert reason in promotion["reason"]
    footprint.wait_back_to(service, before)


@pytest.mark.parametrize(
    ("on_predict", "reason"),
    [
        pytest.param("raise", "told to raise", id="raises"),
        pytest.param("exit", "told to exit", id="kills-its-process"),
        pytest.param("hang", TIMED_OUT, id="hangs"),
        pytest.param("nan", "is not finite", id="answers-NaN"),
        pytest.param("wide", "several values a row", id="answers-another-shape"),
        pytest.param("short", "1 values", id="answers-one-row-too-few"),
    ],
)
def test_a_candidate_that_fails_on_its_example(
    service: RunningService,
    mlflow_server: MlflowServer,
    name: str,
    before: Footprint,
    on_predict: str,
    reason: str,
) -> None:
    """Refused before it sees traffic, and the reason says why; 0 requests fail."""
    promotion = _refused(service, mlflow_server, name, on_predict=on_predict)
    assert promotion["reason"].startswith("refused by the smoke gate: ")
    assert reason in promotion["reason"]
    footprint.wait_back_to(service, before)


@pytest.mark.parametrize(
    ("on_many", "reason"),
    [
        pytest.param("exit", "told to exit", id="kills-its-process"),
        pytest.param("hang", TIMED_OUT, id="hangs"),
    ],
)
def test_a_candidate_that_fails_when_it_is_warmed_up_and_timed(
    service: RunningService,
    mlflow_server: MlflowServer,
    name: str,
    before: Footprint,
    on_many: str,
    reason: str,
) -> None:
    """Refused although it has answered its example; 0 requests fail and nothing of it stays."""
    promotion = _refused(service, mlflow_server, name, on_many=on_many)
    assert promotion["reason"].startswith("refused by the speed gate: ")
    assert reason in promotion["reason"]
    footprint.wait_back_to(service, before)


def test_a_candidate_that_raises_when_it_is_timed(
    service: RunningService, mlflow_server: MlflowServer, name: str, before: Footprint
) -> None:
    """Many rows together may be none of its business: it serves, timed with one; none fails."""
    with _hammer(service) as hammer:
        version = mlflow_server.register_unruly(name, 3.0, on_many="raise")
        mlflow_server.set_alias(name, ALIAS, version)
        service.wait_serving(version)
        verdicts = {each["gate"]: each for each in _last_promotion(service)["verdicts"]}
        mlflow_server.set_alias(name, ALIAS, 1)
        service.wait_serving(1)
    assert hammer.failed == []
    assert hammer.mixed({"1": FACTOR, version: 3.0}) == []
    speed = verdicts["speed"]
    assert speed["outcome"] == "pass"
    assert speed["reason"].startswith("1 row in ")
    assert "," not in speed["reason"]
    footprint.wait_back_to(service, before)


@pytest.mark.skipif(sys.platform == "win32", reason="sends SIGKILL")
def test_a_candidate_whose_worker_is_killed_from_outside(
    service: RunningService, mlflow_server: MlflowServer, name: str, before: Footprint
) -> None:
    """Not its fault: tried again after a wait, and then it serves; 0 requests fail."""
    version = mlflow_server.register_unruly(name, 7.0, on_load="sleep:1.5")
    with _hammer(service) as hammer:
        mlflow_server.set_alias(name, ALIAS, version)
        service.wait_until(lambda: service.started_pids(f"worker-{version}-"), "its worker loads")
        os.kill(service.started_pids(f"worker-{version}-")[0], signal.SIGKILL)
        service.wait_serving(version)
        mlflow_server.set_alias(name, ALIAS, 1)
        service.wait_serving(1)
    assert hammer.failed == []
    assert hammer.mixed({"1": FACTOR, version: 7.0}) == []
    endings = [
        told["ending"] for told in service.info()["promotions"] if told["version"] == version
    ]
    assert endings == ["serving", "failed"]
    retries = [e for e in service.events() if e.get("event") == "promotion will be tried again"]
    assert [retry["version"] for retry in retries] == [version]
    footprint.wait_back_to(service, before)
