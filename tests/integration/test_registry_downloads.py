"""What registry processes download, from a real server, and from what none would say."""

import shutil
import sys
import time
from pathlib import Path

import pytest

from service.core.errors import FetchFailedError
from service.core.versions import ModelVersion
from service.registry.inside import artifacts
from tests.support.registry_client import fetch, found
from tools.mlflow_server import MlflowServer, free_port, unique_name

pytestmark = pytest.mark.usefixtures("registry_client_environment")


@pytest.fixture
def server(mlflow_server: MlflowServer, monkeypatch: pytest.MonkeyPatch) -> MlflowServer:
    """Give the real server, to which this process's MLflow points."""
    monkeypatch.setenv("MLFLOW_TRACKING_URI", mlflow_server.uri)
    return mlflow_server


@pytest.mark.parametrize("form", ["models:/{name}/1", "{logged}", "runs:/{run}/model"])
def test_every_form_is_fetched_whole_into_a_folder_of_ours(
    server: MlflowServer, tmp_path: Path, form: str
) -> None:
    """With the MLmodel file in the folder that is returned."""
    name = unique_name()
    server.register_tiny(name)
    version = found(f"models:/{name}/1")
    uri = form.format(name=name, logged=version.source, run=version.run_id)
    root = fetch(found(uri), tmp_path / "new")
    assert {"MLmodel", "tiny_model.py", "input_example.json"} <= {
        file.name for file in root.iterdir()
    }


def artifact(server: MlflowServer, version: ModelVersion, path: str) -> Path:
    """Find an artifact on the server's disk."""
    model_id = version.source.removeprefix("models:/")
    return next(server.folder.glob(f"artifacts/**/{model_id}/artifacts/{path}"))


@pytest.fixture(params=[False, True], ids=["bytecode", "no bytecode"])
def own_version(
    server: MlflowServer, request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch
) -> ModelVersion:
    """Give a version whose artifacts no other test has, to be broken.

    MLflow runs its code on the example before it uploads it; the bytecode of that comes along.
    """
    monkeypatch.setattr(sys, "dont_write_bytecode", request.param)
    name = unique_name()
    server.register_tiny(name, factor=time.monotonic())
    return found(f"models:/{name}/1")


def test_a_file_that_was_cut_short_at_the_source_is_told(
    server: MlflowServer, own_version: ModelVersion, tmp_path: Path
) -> None:
    """The listing agrees with it; MLmodel's size does not."""
    artifact(server, own_version, "tiny_model.py").write_text("")
    with pytest.raises(FetchFailedError, match="bytes arrived of"):
        fetch(own_version, tmp_path)


def test_a_file_that_was_cut_short_on_the_way_is_told(
    own_version: ModelVersion, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A download that 'succeeds' is compared with the listing."""
    whole = artifacts.fetch

    def cut_short(version: ModelVersion, destination: str) -> Path:
        path = whole(version, destination)
        with (path / "input_example.json").open("r+b") as file:
            file.truncate(3)
        return path

    monkeypatch.setattr(artifacts, "fetch", cut_short)
    with pytest.raises(FetchFailedError, match=r"3 of \d+ bytes of input_example.json arrived"):
        fetch(own_version, tmp_path)


def test_a_file_that_did_not_arrive_is_told(
    own_version: ModelVersion, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """By name."""
    whole = artifacts.fetch

    def lose(version: ModelVersion, destination: str) -> Path:
        path = whole(version, destination)
        (path / "input_example.json").unlink()
        return path

    monkeypatch.setattr(artifacts, "fetch", lose)
    with pytest.raises(FetchFailedError, match=r"input_example.json did not arrive"):
        fetch(own_version, tmp_path)


def test_what_does_not_fit_on_the_disk_is_not_begun(
    own_version: ModelVersion, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Both figures are told, and nothing was written."""
    usage = shutil.disk_usage(tmp_path)
    monkeypatch.setattr(shutil, "disk_usage", lambda _: usage._replace(free=7))
    with pytest.raises(FetchFailedError, match=r"needs \d{3,} bytes, and 7 are free"):
        fetch(own_version, tmp_path / "new")
    assert not (tmp_path / "new").exists()


def test_no_mlmodel_file_is_told(
    server: MlflowServer, own_version: ModelVersion, tmp_path: Path
) -> None:
    """As no model, or not all of it."""
    artifact(server, own_version, "MLmodel").unlink()
    with pytest.raises(FetchFailedError, match="holds no MLmodel file"):
        fetch(own_version, tmp_path)


def test_a_version_that_was_made_anew_meanwhile_is_not_taken_for_the_old_one(
    server: MlflowServer, tmp_path: Path
) -> None:
    """The number is the same, the artifacts are not."""
    name = unique_name()
    server.register_tiny(name, 1.0)
    version = found(f"models:/{name}/1")
    server.delete_model(name)
    server.register_tiny(name, 2.0)
    with pytest.raises(FetchFailedError, match="deleted and made again"):
        fetch(version, tmp_path)


def test_a_version_that_is_gone_can_not_be_fetched(server: MlflowServer, tmp_path: Path) -> None:
    """The registry's own words are told."""
    name = unique_name()
    server.register_tiny(name)
    version = found(f"models:/{name}/1")
    server.delete_version(name, 1)
    with pytest.raises(FetchFailedError, match="not found"):
        fetch(version, tmp_path)


def test_a_refused_download_is_told(
    own_version: ModelVersion, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A registry that went away is worth another try."""
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"http://127.0.0.1:{free_port()}")
    with pytest.raises(FetchFailedError, match="nothing listens there"):
        fetch(own_version, tmp_path)


@pytest.mark.parametrize(
    ("module", "source", "extra"),
    [
        ("boto3", "s3://bucket/model", "s3"),
        ("google.cloud", "gs://bucket/model", "gcs"),
        ("azure.storage.blob", "wasbs://c@a.blob.core.windows.net/model", "azure"),
    ],
)
def test_a_missing_library_names_its_extra(
    server: MlflowServer,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    *,
    module: str,
    source: str,
    extra: str,
) -> None:
    """Whether or not it happens to be installed here."""
    monkeypatch.setitem(sys.modules, module, None)
    monkeypatch.setenv("AZURE_STORAGE_ACCESS_KEY", "c2VjcmV0")
    name = unique_name()
    server.register_source(name, source)
    with pytest.raises(FetchFailedError) as raised:
        fetch(found(f"models:/{name}/1"), tmp_path)
    assert f'pip install "mlflow-hotswap[{extra}]"' in str(raised.value)
