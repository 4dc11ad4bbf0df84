"""A registry or an artifact store that means harm: what it may have this machine write and tell."""

import json
from pathlib import Path

import mlflow
import pytest
from mlflow.exceptions import MlflowException

from service.registry.inside import artifacts
from tests.support.fake_source import a_version
from tests.support.stub_http import Answer, serving

pytestmark = pytest.mark.usefixtures("registry_client_environment")


@pytest.fixture
def hostile(monkeypatch: pytest.MonkeyPatch) -> Answer:
    """Give what a server says, to which this process's MLflow is to point."""
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
    monkeypatch.setenv("MLFLOW_TRACKING_TOKEN", "t0ken")
    return Answer()


@pytest.mark.parametrize(
    "path",
    [
        *("../evil", "a/../../evil", "..", "%2e%2e/evil", "%2e%2e%2fevil", "%252e%252e/evil"),
        *("/evil-7c1f", "file:///evil-7c1f", "~/evil", "./evil", "a//evil", "..\\evil"),
    ],
)
def test_no_listed_path_leads_out_of_the_folder(
    hostile: Answer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, path: str
) -> None:
    """It is refused, or its file lies below the version's folder all the same."""

    def say(asked: str) -> tuple[int, bytes]:
        if "get-download-uri" in asked:
            return 200, b'{"artifact_uri": "mlflow-artifacts:/m"}'
        if "artifacts?" in asked:
            file = {"path": path, "is_dir": False, "file_size": 4}
            return 200, json.dumps({"files": [file]}).encode()
        return 200, b"{}" if "/mlflow/" in asked else b"evil"

    hostile.choose = say
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    destination = tmp_path / "in" / "it"
    with serving(hostile) as url:
        monkeypatch.setenv("MLFLOW_TRACKING_URI", url)
        try:
            artifacts.fetch(a_version(1), str(destination))
        except MlflowException as error:
            assert "Invalid path" in str(error)  # noqa: PT017 - the other outcome is right as well
    written = [file for file in tmp_path.rglob("*") if file.is_file()]
    assert all(file.is_relative_to(destination) for file in written)
    assert not Path("/evil-7c1f").exists()


def test_a_redirect_takes_no_credential_to_another_host(
    hostile: Answer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A registry that sends its callers on gets none of theirs delivered elsewhere."""
    elsewhere = Answer()
    with serving(elsewhere) as other, serving(hostile) as url:
        hostile.status = 302
        hostile.headers = {"Location": other.replace("127.0.0.1", "localhost")}
        monkeypatch.setenv("MLFLOW_TRACKING_URI", url)
        mlflow.MlflowClient(url, url).get_model_version("m", "1")
    assert elsewhere.seen
    assert hostile.heard[0]["authorization"] == "Bearer t0ken"
    assert all("authorization" not in headers for headers in elsewhere.heard)
