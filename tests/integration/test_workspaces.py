"""Two workspaces of one MLflow server, with a model of the same name in each."""

import contextlib
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.support.counting_proxy import CountingProxy
from tools import mlflow_server as servers
from tools import running_service
from tools.mlflow_server import MlflowServer
from tools.running_service import RunningService

NAME = "same"
FACTORS = {"team-a": 2.0, "team-b": 3.0}


@contextlib.contextmanager
def inside(server: MlflowServer, workspace: str) -> Iterator[Any]:
    """Have MLflow in this process mean one workspace, and none afterwards: it sets a variable."""
    with server.active() as mlflow:
        mlflow.set_workspace(workspace)
        try:
            yield mlflow
        finally:
            mlflow.set_workspace(None)


@pytest.fixture
def server(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[MlflowServer]:
    """Start a server with two workspaces, and promote a version 1 in each."""
    monkeypatch.delenv("MLFLOW_WORKSPACE", raising=False)
    # Made where it is missing, which it is in a new workspace.
    monkeypatch.setenv("MLFLOW_EXPERIMENT_NAME", "of tests")
    server = servers.start(tmp_path / "mlflow", "--enable-workspaces")
    try:
        for workspace, factor in FACTORS.items():
            with server.active() as mlflow:
                mlflow.create_workspace(workspace)
            with inside(server, workspace):
                server.register_tiny(NAME, factor)
                server.set_alias(NAME, "champion", 1)
        yield server
    finally:
        server.stop()


def start(folder: Path, registry: CountingProxy, workspace: str, *, wait: bool) -> RunningService:
    """Start a service for one workspace, on the CACHE_DIR that all have."""
    return running_service.start(
        folder / workspace,
        registry.uri,
        wait=wait,
        cache_dir=folder / "cache",
        model_uri=f"models:/{NAME}@champion",
        mlflow_workspace=workspace,
        probation_s=0.1,
        write_back=True,
    )


def _is_down(service: RunningService) -> bool:
    answer = service.get("/health")
    down: bool = answer.status_code == httpx.codes.SERVICE_UNAVAILABLE and (
        "refused" in answer.json()["error"]
    )
    return down


def test_a_workspaces_model_is_never_taken_for_anothers(
    server: MlflowServer, tmp_path: Path
) -> None:
    """Not even with the registry down, by the last known good version or by a pin."""
    registry = CountingProxy(server.uri)
    with registry, start(tmp_path, registry, "team-a", wait=True) as ours:
        assert ours.predict({"a": 1.0}).json()["predictions"] == [{"y": 2.0}]
        assert ours.info()["serving"]["workspace"] == "team-a"
        ours.post("/model/pin", {"version": "1"}).raise_for_status()
        ours.wait_until(ours.knows_good, "known to be good")
        ours.wait_until(partial(_status_tag, server, "team-a"), "tagged")
        assert _status_tag(server, "team-b") is None
    with start(tmp_path, registry, "team-b", wait=False) as theirs:
        theirs.wait_until(partial(_is_down, theirs), "says why")
        assert theirs.post("/model/pin", {"version": "1"}).status_code == httpx.codes.BAD_GATEWAY
        assert theirs.predict({"a": 1.0}).status_code == httpx.codes.SERVICE_UNAVAILABLE
        with registry:
            theirs.wait_healthy()
            assert theirs.predict({"a": 1.0}).json()["predictions"] == [{"y": 3.0}]
            assert theirs.get("/health").json()["pinned_version"] is None
    (pinned,) = (tmp_path / "cache" / "pointers").glob("*.json")
    assert '"workspace":"team-a"' in pinned.read_text()


def _status_tag(server: MlflowServer, workspace: str) -> str | None:
    with inside(server, workspace) as mlflow:
        tags: dict[str, str] = mlflow.MlflowClient().get_model_version(NAME, "1").tags
        return tags.get("hotswap.status")
