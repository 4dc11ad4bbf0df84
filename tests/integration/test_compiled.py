"""A promoted forest is compiled beside serving, taken into use, and kept for the next start."""

import shutil
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import psutil
import pytest

from service.commands.demo.model import NAME, OUTPUTS, generate
from tests.support.guide import register_guide
from tools import running_service
from tools.mlflow_server import MlflowServer
from tools.running_service import RunningService

ROWS = 40
MONTHS = generate(60, seed=5)[0].head(ROWS)
INSTANCES: list[dict[str, Any]] = MONTHS.to_dict(orient="records")  # type: ignore[assignment]
TUNED_S = 120.0
WORKERS = 2


class Forest:
    """A registered forest: its alias, and the answers that MLflow gives to ROWS rows."""

    def __init__(self, alias: str, expected: "np.ndarray[Any, Any]") -> None:
        self.alias = alias
        self.expected = expected


@pytest.fixture(scope="module")
def forest(mlflow_server: MlflowServer) -> Forest:
    """Register the demo's model with a few trees."""
    registered = register_guide(mlflow_server)
    return Forest(registered.alias, np.asarray(registered.pyfunc.predict(MONTHS)))


def predictors(service: RunningService) -> dict[str, Any]:
    """Return what is told of the serving version's predictors."""
    told: dict[str, Any] = service.info()["serving"]["predictors"]
    return told


def wait_tuned(service: RunningService) -> dict[str, Any]:
    """Wait until compiled predictors are in use, and return their report."""
    service.wait_until(lambda: predictors(service)["state"] == "tuned", "tuned", TUNED_S)
    report: dict[str, Any] = predictors(service)["report"]
    return report


def assert_right(service: RunningService, forest: Forest, rows: int) -> None:
    """Compare the answers to the first rows with MLflow's own, within COMPILED_RTOL."""
    answers = service.predict(*INSTANCES[:rows]).raise_for_status().json()["predictions"]
    found = np.array([[answer[name] for name in OUTPUTS] for answer in answers])
    np.testing.assert_allclose(found, forest.expected[:rows], rtol=1e-12)


def logged(service: RunningService, event: str) -> list[dict[str, Any]]:
    """Return the log's lines of one event."""
    return [line for line in service.events() if line.get("event") == event]


@contextmanager
def traffic(service: RunningService, forest: Forest) -> Iterator[list[BaseException]]:
    """Ask all the while for rows whose answers are known, one request after another."""
    stop, failures = threading.Event(), list[BaseException]()

    def ask() -> None:
        row = 0
        while not stop.is_set():
            row = row % ROWS + 1
            try:
                assert_right(service, forest, row)
            except BaseException as error:  # noqa: BLE001 - told below
                failures.append(error)

    asking = threading.Thread(target=ask)
    asking.start()
    try:
        yield failures
    finally:
        stop.set()
        asking.join()


class FirstRun(NamedTuple):
    """What a service did that compiled the forest, and its CACHE_DIR."""

    failures: list[BaseException]
    report: dict[str, Any]
    tuned: list[dict[str, Any]]
    cache_dir: Path

    def copy_to(self, folder: Path) -> None:
        """Have a service that is started in a folder find what this one left."""
        shutil.copytree(self.cache_dir, folder / "cache")


@pytest.fixture(scope="module")
def first_run(
    mlflow_server: MlflowServer, tmp_path_factory: pytest.TempPathFactory, forest: Forest
) -> FirstRun:
    """Run a service under traffic until compiled predictors answer."""
    folder = tmp_path_factory.mktemp("first-run")
    with (
        running_service.start(
            folder, mlflow_server.uri, model_alias=forest.alias, workers=WORKERS
        ) as service,
        traffic(service, forest) as failures,
    ):
        report = wait_tuned(service)
        asked = service.info()["serving"]["answered"]
        service.wait_until(
            lambda: service.info()["serving"]["answered"] > asked + ROWS, "more answers"
        )
    return FirstRun(failures, report, logged(service, "predictors tuned"), service.cache_dir)


def test_compiled_predictors_are_taken_into_use_under_traffic(first_run: FirstRun) -> None:
    """No answer differs or fails before, while and after they are, and the table is told."""
    assert first_run.failures == []
    first, line = first_run.tuned
    report = first_run.report
    assert first["best"] == "1: llvm forest, 512: llvm forest"
    assert report["probe_rows"] >= 2000
    told = {one["name"]: one for one in report["predictors"]}
    assert told["trees"]["outcome"] == told["native"]["outcome"] == "admitted"
    assert set(report["best"]) == {"1", "8", "64", "512", "4096"}
    assert report["best"]["1"] not in {"pyfunc", "native"}
    assert told[report["best"]["1"]]["ms"]["1"] < told["pyfunc"]["ms"]["1"] / 5
    assert report["best"]["1"] in line["best"]


def test_a_restart_and_a_replaced_worker_use_what_was_compiled(
    mlflow_server: MlflowServer, tmp_path: Path, forest: Forest, first_run: FirstRun
) -> None:
    """It is in use from the first load on, and nothing is compiled again."""
    first_run.copy_to(tmp_path)
    with running_service.start(
        tmp_path, mlflow_server.uri, model_alias=forest.alias, workers=WORKERS
    ) as service:
        assert predictors(service)["state"] == "tuned"
        assert predictors(service)["report"] == first_run.report
        assert_right(service, forest, ROWS)
        psutil.Process(service.worker_pids()[0]).kill()
        service.wait_until(lambda: logged(service, "worker ready"), "a worker took its place")
        assert logged(service, "worker ready")[0]["compiled"] is True
        assert_right(service, forest, ROWS)
        assert logged(service, "compiling predictors") == []


def test_files_that_were_changed_are_not_used_but_made_again(
    mlflow_server: MlflowServer, tmp_path: Path, forest: Forest, first_run: FirstRun
) -> None:
    """The worker says why, and serves through pyfunc until they are there again."""
    first_run.copy_to(tmp_path)
    reports = (tmp_path / "cache" / "compiled").glob("*/*/files/report.json")
    (report,) = (one for one in reports if not one.parents[1].name.endswith("-first"))
    report.write_bytes(report.read_bytes().replace(b"trees", b"threes"))
    with running_service.start(
        tmp_path, mlflow_server.uri, model_alias=forest.alias, workers=WORKERS
    ) as service:
        assert_right(service, forest, ROWS)
        wait_tuned(service)
        assert_right(service, forest, ROWS)
        assert predictors(service)["reason"] is None
        dropped = logged(service, "compiled predictors dropped")
    assert dropped
    assert all("report.json" in line["reason"] for line in dropped)
    assert b"threes" not in report.read_bytes()


def test_a_promotion_waits_for_them_where_it_is_told_to(
    mlflow_server: MlflowServer, tmp_path: Path
) -> None:
    """COMPILED_WAIT_S: the new version never answers without them; a start waits for nothing."""
    one, two = register_guide(mlflow_server), register_guide(mlflow_server)
    with running_service.start(
        tmp_path, mlflow_server.uri, model_alias=one.alias, compiled_wait_s=TUNED_S
    ) as service:
        wait_tuned(service)
        mlflow_server.set_alias(NAME, one.alias, two.version)
        service.wait_serving(two.version)
        assert predictors(service)["report"]["best"]["1"] == "llvm forest"
        assert_right(service, Forest(two.alias, np.asarray(two.pyfunc.predict(MONTHS))), ROWS)
        verdicts = [gate for gate in logged(service, "gate") if gate["gate"] == "predictors"]
        named = [
            (line["version"], line["event"])
            for line in service.events()
            if line.get("event") in {"version serves", "predictors tuned"}
        ]
    assert [(verdict["version"], verdict["outcome"]) for verdict in verdicts] == [
        (one.version, "skip"),
        (two.version, "pass"),
    ]
    assert verdicts[1]["reason"] == "one row is answered by llvm forest"
    of_the_second = [event for version, event in named if version == two.version]
    assert of_the_second[:2] == ["predictors tuned", "version serves"]


def test_compiled_off_calls_models_through_pyfunc(
    mlflow_server: MlflowServer, tmp_path: Path, forest: Forest
) -> None:
    """COMPILED=off starts no compiler."""
    with running_service.start(
        tmp_path, mlflow_server.uri, model_alias=forest.alias, compiled="off"
    ) as service:
        assert_right(service, forest, ROWS)
        assert predictors(service)["state"] == "pyfunc"
        assert not logged(service, "compiling predictors")
