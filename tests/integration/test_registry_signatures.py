"""Where signatures are put and found, on a real server, as registry processes do it."""

from pathlib import Path

import msgspec
import pytest

from service.core.errors import FetchFailedError
from service.core.versions import ModelVersion
from service.registry.inside.signatures import add_signature, find_signatures, folder_of
from service.registry.messages import (
    AddSignatureRequest,
    FindSignaturesReply,
    FindSignaturesRequest,
)
from tests.support.registry_client import fetch, found
from tools.mlflow_server import MlflowServer, free_port, unique_name

pytestmark = pytest.mark.usefixtures("registry_client_environment")


@pytest.fixture
def server(mlflow_server: MlflowServer, monkeypatch: pytest.MonkeyPatch) -> MlflowServer:
    """Give the real server, to which this process's MLflow points."""
    monkeypatch.setenv("MLFLOW_TRACKING_URI", mlflow_server.uri)
    return mlflow_server


def put(version: ModelVersion, place: str, folder: Path, content: str = "signed") -> str:
    """Put a signature where it belongs, and return where that is."""
    (folder / "model.sig").write_text(content)
    path = str(folder / "model.sig")
    return add_signature(AddSignatureRequest(version, place, path)).place


def look(version: ModelVersion, place: str, folder: Path) -> FindSignaturesReply:
    """Look for signatures."""
    return find_signatures(FindSignaturesRequest(version, place, str(folder)))


@pytest.mark.parametrize("form", ["models:/{name}/1", "{logged}", "runs:/{run}/model"])
def test_a_signature_beside_the_artifacts_is_found_and_comes_with_them(
    server: MlflowServer, tmp_path: Path, form: str
) -> None:
    """By each form of URI, and replaced by a later one."""
    name = unique_name()
    # Artifacts that no other test has: they get a signature.
    server.register_tiny(name, 100.0 + len(form))
    version = found(f"models:/{name}/1")
    uri = form.format(name=name, logged=version.source, run=version.run_id)
    version = found(uri)
    assert look(version, "", tmp_path / "none").paths == ()
    assert put(version, "", tmp_path, "older") == f"model.sig beside {uri}"
    put(version, "", tmp_path)
    [path] = look(version, "", tmp_path / "found").paths
    assert Path(path).read_text() == "signed"
    assert (fetch(version, tmp_path / "fetched") / "model.sig").read_text() == "signed"


@pytest.mark.parametrize("place", ["mlflow-artifacts:/signatures", "folder", "file"])
def test_a_signature_elsewhere_is_found_by_its_version(
    server: MlflowServer, tmp_path: Path, place: str
) -> None:
    """And not by another one, such as that of another registry."""
    name = unique_name("Name with spaces, ünd %2e..")
    server.register_tiny(name)
    version = found(f"models:/{name}/1")
    place = {"folder": str(tmp_path / "all"), "file": (tmp_path / "all").as_uri()}.get(place, place)
    assert place in put(version, place, tmp_path)
    [path] = look(version, place, tmp_path / "found").paths
    assert Path(path).read_text() == "signed"
    another = msgspec.structs.replace(version, created_ms=version.created_ms + 1)
    reply = look(another, place, tmp_path / "none")
    assert reply.paths == ()
    assert reply.places.count("model.sig") == 2
    elsewhere = msgspec.structs.replace(version, registry="http://another-address.test")
    assert look(elsewhere, place, tmp_path / "again").paths != ()


def test_a_file_that_is_too_large_for_a_signature_is_not_fetched(
    server: MlflowServer, tmp_path: Path
) -> None:
    """It is told, as the reason for a refusal."""
    name = unique_name()
    server.register_tiny(name)
    version = found(f"models:/{name}/1")
    put(version, str(tmp_path / "all"), tmp_path, "x" * 16_000_001)
    reply = look(version, str(tmp_path / "all"), tmp_path / "found")
    assert reply.paths == ()
    assert "is no signature: it has 16000001 bytes" in reply.refused


def test_a_store_that_is_down_is_no_absence(server: MlflowServer, tmp_path: Path) -> None:
    """Neither below SIGNATURES_URI nor beside the artifacts."""
    name = unique_name()
    server.register_tiny(name)
    version = found(f"models:/{name}/1")
    nobody = f"mlflow-artifacts://127.0.0.1:{free_port()}/signatures"
    with pytest.raises(FetchFailedError, match="could not be read"):
        look(version, nobody, tmp_path / "found")
    with pytest.raises(FetchFailedError, match="could not be written"):
        put(version, nobody, tmp_path)


def test_no_name_leads_out_of_the_folder() -> None:
    """Whatever a registry allows in names."""
    for name in ("..", ".", "a/../../b", "\\..\\", "~", "%2e%2e", "ü" * 300):
        version = ModelVersion("r", name, "1", "run", "models:/m-1", 1)
        assert ".." not in folder_of(version)
        assert folder_of(version).isascii()
        assert len(folder_of(version)) < 200
