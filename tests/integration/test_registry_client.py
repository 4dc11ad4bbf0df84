"""MLflow's client as registry processes use it, with a real server, and with what none says."""

import json
import os
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import mlflow
import pytest

from service.core.errors import SourceUnavailableError
from service.core.versions import ModelRef, ModelVersion
from service.registry.inside import client
from service.registry.inside.resolving import resolve
from service.registry.messages import ResolveRequest
from tests.support.fault_proxy import Fault, FaultProxy
from tests.support.registry_client import ask, fetch, found, number
from tests.support.stub_http import Answer, serving
from tools.mlflow_server import MlflowServer, free_port, unique_name

pytestmark = pytest.mark.usefixtures("registry_client_environment")


@pytest.fixture
def server(mlflow_server: MlflowServer, monkeypatch: pytest.MonkeyPatch) -> MlflowServer:
    """Give the real server, to which this process's MLflow points."""
    monkeypatch.setenv("MLFLOW_TRACKING_URI", mlflow_server.uri)
    return mlflow_server


# -- what each pointer means -------------------------------------------------------------------


def test_a_stage_is_its_highest_number_and_not_the_last_promotion(server: MlflowServer) -> None:
    """As MLflow has it: a rollback by stage needs the newer version to be archived."""
    name = unique_name()
    for _ in range(3):
        server.register_tiny(name)
    server.set_stage(name, 3)
    server.set_stage(name, 2, archive=False)
    assert number(f"models:/{name}/production") == "3"
    server.set_stage(name, 2)
    assert number(f"models:/{name}/Production") == "2"
    assert number(f"models:/{name}/Archived") == "3"


def test_numbers_are_compared_as_numbers(server: MlflowServer) -> None:
    """Version 10 is newer than version 9."""
    name = unique_name()
    for _ in range(10):
        server.register_tiny(name)
    server.set_stage(name, 9)
    server.set_stage(name, 10, archive=False)
    assert number(f"models:/{name}/Production") == "10"
    assert number(f"models:/{name}/latest") == "10"


def test_an_alias_is_followed_in_every_direction(server: MlflowServer) -> None:
    """And the version carries everything that tells it apart."""
    name = unique_name()
    for _ in range(2):
        server.register_tiny(name)
    for wanted in ("1", "2", "1"):
        server.set_alias(name, "champion", wanted)
        assert number(f"models:/{name}@champion") == wanted
    registered = server.client.get_model_version(name, "1")
    assert found(f"models:/{name}@champion") == ModelVersion(
        registry=server.uri,
        name=name,
        version="1",
        run_id=registered.run_id,
        source=registered.source,
        created_ms=registered.creation_timestamp,
    )


def test_a_pinned_number_is_itself(server: MlflowServer) -> None:
    """Whatever is promoted."""
    name = unique_name()
    for _ in range(2):
        server.register_tiny(name)
    server.set_stage(name, 2)
    assert number(f"models:/{name}/1") == "1"


def test_a_logged_model_is_its_id(server: MlflowServer) -> None:
    """It needs no registered model."""
    uri = server.tiny_source()
    version = found(uri)
    assert (version.version, version.source) == (uri.removeprefix("models:/"), uri)
    assert version.created_ms > 0


def test_a_run_is_its_id_and_path(server: MlflowServer) -> None:
    """The path's last part is the name."""
    run_id = found(server.tiny_source()).run_id
    version = found(f"runs:/{run_id}/model")
    assert (version.name, version.version) == ("model", run_id)
    assert version.source == f"runs:/{run_id}/model"


@pytest.fixture
def older_run(server: MlflowServer, tmp_path: Path) -> str:
    """Give the id of a run that has its model among its own artifacts, as before MLflow 3."""
    source = server.tiny_source()
    with server.active() as mlflow, mlflow.start_run() as run:
        model = mlflow.artifacts.download_artifacts(source, dst_path=str(tmp_path))
        mlflow.log_artifacts(model, "model")
        run_id: str = run.info.run_id
        return run_id


def test_a_run_of_a_server_before_mlflow_3_is_served(
    server: MlflowServer, older_run: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It knows nothing of the logged models for which MLflow's client asks."""
    with FaultProxy(server.uri) as proxy, proxy.failing(Fault.BEFORE_MLFLOW_3):
        monkeypatch.setenv("MLFLOW_TRACKING_URI", proxy.uri)
        version = found(f"runs:/{older_run}/model")
        assert (version.name, version.version) == ("model", older_run)
        assert (fetch(version, tmp_path / "new") / "MLmodel").is_file()
        assert proxy.met > 0
        # It may have been anything else that answered so: that is never taken for absence.
        with pytest.raises(SourceUnavailableError, match="404"):
            ask(f"runs:/{older_run}/no-such-path")


@pytest.mark.parametrize(
    "stem", ["team@churn", "a b'c\"d", "größe-模型", "a?b#c&d=e", "100%2F", ".m"]
)
def test_names_may_hold_nearly_anything(server: MlflowServer, tmp_path: Path, stem: str) -> None:
    """They are resolved in each form, and fetched: not by a URI, where they mean something else."""
    name = unique_name(stem)
    server.register_tiny(name)
    server.set_alias(name, "champion", 1)
    server.set_stage(name, 1)
    for ref in (
        ModelRef.for_alias(name, "champion"),
        ModelRef.for_stage(name, "Production"),
        ModelRef.for_stage(name, "latest"),
        ModelRef.for_stage(name, "1"),
        ModelRef.parse(f"models:/{name}@champion"),
    ):
        version = resolve(ResolveRequest(ref)).version
        assert version is not None
        assert (version.name, version.version) == (name, "1")
    assert (fetch(found(ref.uri), tmp_path / "new") / "MLmodel").is_file()


def test_a_registry_made_anew_gives_another_version_of_the_same_number(
    server: MlflowServer,
) -> None:
    """Creation time and source are part of what a version is."""
    name = unique_name()
    server.register_tiny(name)
    before = found(f"models:/{name}/1")
    server.delete_model(name)
    server.register_tiny(name)
    assert found(f"models:/{name}/1").key != before.key


def test_a_look_takes_one_call(server: MlflowServer) -> None:
    """For every form that is polled."""
    name = unique_name()
    server.register_tiny(name)
    server.set_stage(name, 1)
    server.set_alias(name, "a", 1)
    log = server.folder / "server.log"
    for uri in (f"models:/{name}/Production", f"models:/{name}@a", f"models:/{name}/latest"):
        calls = log.read_text("utf-8").count(name)
        ask(uri)
        ask(uri)
        deadline = time.monotonic() + 5
        while (seen := log.read_text("utf-8").count(name) - calls) < 2:
            assert time.monotonic() < deadline
        assert seen == 2


# -- absence -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "uri",
    [
        "models:/{name}/Staging",
        "models:/{name}@missing",
        "models:/{name}/99",
        "models:/no-such-model/Production",
        "models:/no-such-model@champion",
        "models:/no-such-model/latest",
        "models:/no-such-model/1",
        "models:/m-00000000000000000000000000000000",
        "runs:/00000000000000000000000000000000/model",
        "runs:/{run}/no-such-path",
    ],
)
def test_what_the_registry_says_is_not_there_is_none(server: MlflowServer, uri: str) -> None:
    """With a note that says what is missing."""
    name = unique_name()
    server.register_tiny(name)
    run = found(f"models:/{name}/1").run_id
    reply = ask(uri.format(name=name, run=run))
    assert reply.version is None
    assert reply.note


def test_a_model_without_versions_has_no_latest(server: MlflowServer) -> None:
    """Nor anything in a stage."""
    name = unique_name()
    server.register_tiny(name)
    server.delete_version(name, 1)
    assert ask(f"models:/{name}/latest").version is None
    assert ask(f"models:/{name}/Production").version is None


def test_an_alias_that_is_none_for_mlflow_is_a_fault_and_no_absence(server: MlflowServer) -> None:
    """The same error code as a missing alias has."""
    name = unique_name()
    server.register_tiny(name)
    with pytest.raises(SourceUnavailableError, match=r"(?i)alias name"):
        ask(f"models:/{name}@{'a' * 300}")


def test_a_database_as_registry_says_the_same(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Errors are not answers over REST there."""
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{(tmp_path / 'm.db').as_posix()}")
    try:
        assert ask("models:/none@champion").version is None
        made = mlflow.MlflowClient()
        made.create_registered_model("m")
        made.create_model_version("m", "file:///nowhere")
        assert ask("models:/m@champion").version is None
        made.set_registered_model_alias("m", "champion", "1")
        assert number("models:/m@champion") == "1"
        assert number("models:/m/latest") == "1"
    finally:
        _dispose_engines()


def _dispose_engines() -> None:
    """Close MLflow's pooled connections, which would warn when they are collected."""
    from mlflow.store.model_registry.sqlalchemy_store import SqlAlchemyStore  # noqa: PLC0415

    for engine in getattr(SqlAlchemyStore, "_engine_map", {}).values():
        engine.dispose()


# -- a version that is not ready ---------------------------------------------------------------


def _registered(**changes: Any) -> bytes:
    version = {
        "name": "m",
        "version": "1",
        "creation_timestamp": 5,
        "status": "READY",
        "source": "s3://u:s3cret@bucket/k",
        "run_id": "r",
        **changes,
    }
    return json.dumps({"model_version": version}).encode()


@pytest.mark.parametrize("status", ["PENDING_REGISTRATION", "FAILED_REGISTRATION"])
def test_a_version_that_is_not_ready_is_no_answer(
    monkeypatch: pytest.MonkeyPatch, status: str
) -> None:
    """Its artifacts may still be on their way."""
    with serving(Answer(body=_registered(status=status))) as uri:
        monkeypatch.setenv("MLFLOW_TRACKING_URI", uri)
        with pytest.raises(SourceUnavailableError, match=f"not ready yet: MLflow says {status}"):
            ask("models:/m@champion")


# -- outages -----------------------------------------------------------------------------------

POINTERS = ["models:/m/Production", "models:/m@champion", "models:/m/1", "models:/m/latest"]
HTML = b"<html><body>Please log in</body></html>"


@pytest.mark.parametrize("pointer", [*POINTERS, "models:/m-1", "runs:/1/model"])
@pytest.mark.parametrize(
    ("status", "body", "wanted"),
    [
        (401, HTML, "MLFLOW_TRACKING_USERNAME and MLFLOW_TRACKING_PASSWORD"),
        (403, b'{"error_code":"PERMISSION_DENIED","message":"no"}', "MLFLOW_TRACKING_TOKEN"),
        (404, HTML, "answered 404"),
        (404, b'{"detail":"Not Found"}', ""),
        (400, b'{"error_code":"INVALID_PARAMETER_VALUE","message":"bad"}', "bad"),
        (429, b"slow down", "less often"),
        (500, b'{"error_code":"INTERNAL_ERROR","message":"boom"}', "answered 500"),
        (502, HTML, "answered 502"),
        (503, b"", "answered 503"),
        (200, HTML, "other than MLflow's JSON"),
        (200, b"", "check that the address is MLflow's own"),
        (200, b"{}", "check that the address is MLflow's own"),
        (200, b'{"status":"ok"}', "check that the address is MLflow's own"),
        (200, b"[]", "other than MLflow's JSON"),
        (200, b'{"model_version": 5, "registered_model": 5, "run": 5, "model": 5}', ""),
        (200, b'{"model_version', "other than MLflow's JSON"),
    ],
)
def test_no_other_answer_looks_like_nothing_promoted(
    monkeypatch: pytest.MonkeyPatch, pointer: str, status: int, body: bytes, wanted: str
) -> None:
    """Each raises, with a sentence to act on, and immediately."""
    answer = Answer(status, body)
    answer.headers["Retry-After"] = "60"
    with serving(answer) as uri:
        monkeypatch.setenv("MLFLOW_TRACKING_URI", uri)
        began = time.monotonic()
        with pytest.raises(SourceUnavailableError) as raised:
            ask(pointer)
    assert time.monotonic() - began < 10
    assert wanted in str(raised.value)
    assert "<html>" not in str(raised.value)


def test_a_refused_connection_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    """And does not wait for it."""
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"http://127.0.0.1:{free_port()}")
    began = time.monotonic()
    with pytest.raises(SourceUnavailableError, match="nothing listens there"):
        ask("models:/m@champion")
    assert time.monotonic() - began < 10


def test_a_silent_server_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    """After the time that was configured (2 s), not after MLflow's twenty minutes."""
    answer = Answer()
    answer.silent.set()
    with serving(answer) as uri:
        monkeypatch.setenv("MLFLOW_TRACKING_URI", uri)
        began = time.monotonic()
        with pytest.raises(SourceUnavailableError, match="did not answer in time"):
            ask("models:/m@champion")
        assert time.monotonic() - began < 20
    assert len(answer.seen) == 1


def test_no_credential_of_an_address_is_shown(monkeypatch: pytest.MonkeyPatch) -> None:
    """In no error, and not in the version either."""
    port = free_port()
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"http://alice:s3cret@127.0.0.1:{port}")
    with pytest.raises(SourceUnavailableError) as raised:
        ask("models:/m@champion")
    assert "s3cret" not in str(raised.value)
    assert "127.0.0.1" in str(raised.value)
    with serving(Answer(body=_registered())) as uri:
        monkeypatch.setenv("MLFLOW_TRACKING_URI", uri.replace("//", "//alice:s3cret@"))
        version = found("models:/m@champion")
    assert "s3cret" not in repr(version)
    assert version.registry == uri.replace("//", "//***@")


def test_the_users_own_patience_counts(monkeypatch: pytest.MonkeyPatch) -> None:
    """What is set in the environment stays."""
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_TIMEOUT", "77")
    monkeypatch.delenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES")
    client.configure(3.2, retries=4)
    assert os.environ["MLFLOW_HTTP_REQUEST_TIMEOUT"] == "77"
    assert os.environ["MLFLOW_HTTP_REQUEST_MAX_RETRIES"] == "4"


_OPERATIONS = """
import sys
import msgspec
from service.registry.inside import client, download, searching
from service.registry.messages import DownloadRequest, ResolveRequest
from service.registry.messages import RegistryClientSettings, SearchRequest

served = client.operations(msgspec.msgpack.encode(RegistryClientSettings(5.0)))
wanted = {"resolve": (ResolveRequest, searching.Searches.resolve)}
wanted["search"] = (SearchRequest, searching.Searches.search)
wanted["download"] = (DownloadRequest, download.download)
for name, (kind, operation) in wanted.items():
    assert served[name][0] is kind
    serves = served[name][1].__wrapped__
    assert getattr(serves, "__func__", serves) is operation
print(*sorted(served))
"""


def test_a_registry_process_serves_its_operations() -> None:
    """Under the names that the server process uses; it limits the memory of its own process."""
    ran = subprocess.run(
        [sys.executable, "-Wignore", "-c", _OPERATIONS], capture_output=True, text=True, check=False
    )
    assert (ran.returncode, ran.stderr) == (0, "")
    assert ran.stdout.split() == [
        *("add_file", "add_signature", "describe", "download", "find_signatures", "resolve"),
        *("search", "tag"),
    ]
