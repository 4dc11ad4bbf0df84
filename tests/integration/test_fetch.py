"""`hotswap fetch` brings a verified version onto disk."""

import json
import os
import stat
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.signed import Signer
from tools.mlflow_server import MlflowServer, unique_name


@pytest.fixture(scope="module")
def cache_dir(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Give all one store."""
    return tmp_path_factory.mktemp("fetch")


def fetch(
    cache_dir: Path, server: str, uri: str, *arguments: object, **settings: object
) -> subprocess.CompletedProcess[str]:
    """Run the command until it ends."""
    given = {"mlflow_tracking_uri": server, "cache_dir": cache_dir, **settings}
    return subprocess.run(
        [sys.executable, "-m", "service", "fetch", uri, *map(str, arguments)],
        env={**os.environ, **{name.upper(): str(value) for name, value in given.items()}},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )


def files_below(folder: Path) -> dict[str, bytes]:
    """Return the content of every file."""
    return {
        path.relative_to(folder).as_posix(): path.read_bytes()
        for path in folder.rglob("*")
        if path.is_file()
    }


def test_the_promoted_version_is_brought_whole_and_again(
    mlflow_server: MlflowServer, cache_dir: Path, tmp_path: Path
) -> None:
    """Its files are those of the registry, all may read them, and a second time changes nothing."""
    name = unique_name("fetched")
    mlflow_server.register_tiny(name, 2.0)
    mlflow_server.set_alias(name, "champion", 1)
    folder, listed = tmp_path / "models", tmp_path / "files.json"
    uri = f"models:/{name}@champion"
    ended = fetch(cache_dir, mlflow_server.uri, uri, folder, "--manifest", listed)
    assert ended.returncode == 0, ended.stderr
    digest = json.loads(listed.read_text("utf-8"))["digest"]
    assert ended.stdout.startswith(f"version 1 of {name} is in {folder}: ")
    assert ended.stdout.endswith(f"sha256 {digest}\n")
    found = files_below(folder)
    with mlflow_server.active() as mlflow:
        kept = Path(mlflow.artifacts.download_artifacts(uri, dst_path=str(tmp_path / "kept")))
    # MLflow's client adds it to a download.
    expected = files_below(kept)
    assert found.keys() - {"registered_model_meta"} == expected.keys() - {"registered_model_meta"}
    assert found["MLmodel"] == expected["MLmodel"]
    modes = {stat.S_IMODE(path.stat().st_mode) for path in folder.rglob("*") if path.is_file()}
    assert modes == {0o644}
    assert stat.S_IMODE(folder.stat().st_mode) == 0o755
    # As a copy that was killed leaves it.
    (folder / "MLmodel").unlink()
    (folder / ".hotswap-fetch").mkdir()
    again = fetch(cache_dir, mlflow_server.uri, uri, folder)
    assert again.returncode == 0, again.stderr
    assert files_below(folder) == found


def test_what_is_not_signed_is_not_brought(mlflow_server: MlflowServer, tmp_path: Path) -> None:
    """With REQUIRE_SIGNED a version comes once a trusted key has signed it, and not before."""
    name = unique_name("signed")
    mlflow_server.register_tiny(name, 5.0)
    signer = Signer(tmp_path / "keys", "ours")
    cache_dir, folder = tmp_path / "cache", tmp_path / "models"
    given = (cache_dir, mlflow_server.uri, f"models:/{name}/1", folder)
    ended = fetch(*given, require_signed=signer.trusted)
    assert ended.returncode == 1
    assert "refused by the signature gate" in ended.stderr
    assert not folder.exists()
    [stored] = (cache_dir / "versions").iterdir()
    signer.sign(stored / "model", stored / "model.sig")
    ended = fetch(*given, require_signed=signer.trusted)
    assert ended.returncode == 0, ended.stderr
    assert (folder / "MLmodel").is_file()


def test_each_fault_has_its_status_and_one_line(
    mlflow_server: MlflowServer, cache_dir: Path, tmp_path: Path
) -> None:
    """A wrong URI is 2, what the registry does not have 1, and the folder is not made."""
    place = tmp_path / "models"
    wrong = fetch(cache_dir, mlflow_server.uri, "wine", place)
    absent = fetch(cache_dir, mlflow_server.uri, "models:/nobody-knows-me@champion", place)
    assert (wrong.returncode, absent.returncode) == (2, 1)
    assert [len(ended.stderr.splitlines()) for ended in (wrong, absent)] == [1, 1]
    assert not place.exists()
