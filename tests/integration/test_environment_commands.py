"""`hotswap lock` and `hotswap env`, with a real registry and an index on loopback."""

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from importlib.metadata import version
from pathlib import Path

import pytest

from tests.support.signed import Signer
from tools.made_packages import make_wheel, wheel_of_installed
from tools.mlflow_server import MlflowServer, unique_name
from tools.package_index import PackageIndex, package_index

LONG = bool(os.environ.get("HOTSWAP_LONG_FAULTS"))
_LIMIT_S = 150
_MODEL = Path(__file__).parents[2] / "tools" / "tiny_model.py"


@pytest.fixture(scope="module")
def index(tmp_path_factory: pytest.TempPathFactory) -> Iterator[PackageIndex]:
    """Run an index that has what the versions here need."""
    folder = tmp_path_factory.mktemp("packages")
    make_wheel(folder, "red", "1.0", requires=["blue"])
    make_wheel(folder, "blue", "1.5")
    wheel_of_installed(folder, "msgspec")
    # MLflow names itself in what it logs. Nothing of it is called here.
    modules = ["__init__.py", "pyfunc/__init__.py", "pyfunc/loaders/__init__.py"]
    modules.append("pyfunc/loaders/code_model.py")
    files = {f"mlflow/{module}": "" for module in modules}
    make_wheel(folder, "mlflow", version("mlflow"), files=files)
    with package_index(folder) as running:
        yield running


@pytest.fixture(scope="module")
def name(mlflow_server: MlflowServer) -> str:
    """Register two versions that need `red`; nothing here loads them."""
    name = unique_name("locked")
    with mlflow_server.active() as mlflow:
        for factor in (3.0, 4.0):
            mlflow_server.register(
                name,
                mlflow.pyfunc.log_model,
                python_model=str(_MODEL),
                model_config={"factor": factor},
                pip_requirements=["red"],
            )
    return name


@pytest.fixture(scope="module")
def cache_dir(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Give the commands of one machine one cache."""
    return tmp_path_factory.mktemp("cache")


def hotswap(
    server: MlflowServer, cache_dir: Path, index_url: str, *arguments: object, **settings: object
) -> subprocess.CompletedProcess[str]:
    """Run a command until it ends."""
    given = {
        "mlflow_tracking_uri": server.uri,
        "cache_dir": cache_dir,
        "uv_default_index": index_url,
        "uv_http_retries": 0,
        **settings,
    }
    return subprocess.run(
        [sys.executable, "-m", "service", *map(str, arguments)],
        env={**os.environ, **{key.upper(): str(value) for key, value in given.items()}},
        capture_output=True,
        text=True,
        timeout=_LIMIT_S,
        check=False,
    )


def test_a_version_is_locked_once_and_before_it_is_signed(
    mlflow_server: MlflowServer, index: PackageIndex, name: str, cache_dir: Path, tmp_path: Path
) -> None:
    """The lock is beside its artifacts, and what REQUIRE_SIGNED trusts covers it."""
    uri = f"models:/{name}/1"
    ended = hotswap(mlflow_server, cache_dir, index.url, "lock", uri)
    assert ended.returncode == 0, ended.stderr
    assert f"version 1 of {name} is locked: 4 packages for Python 3." in ended.stdout
    with mlflow_server.active() as mlflow:
        got = Path(mlflow.artifacts.download_artifacts(uri, dst_path=str(tmp_path / "got")))
    locked = (got / "environment.lock").read_text("utf-8")
    assert "\nred==1.0 " in locked
    assert "\nblue==1.5 " in locked
    assert locked.count("--hash=sha256:") >= 4
    assert "127.0.0.1" not in locked
    if not LONG:
        return
    again = hotswap(mlflow_server, cache_dir, index.url, "lock", uri)
    assert (again.returncode, again.stdout) == (
        0,
        f"version 1 of {name} needs no lock: its lock says what is installed\n",
    )
    signer = Signer(tmp_path / "keys", "ours")
    signed = hotswap(mlflow_server, cache_dir, index.url, "sign", uri, "--key", signer.private)
    assert signed.returncode == 0, signed.stderr
    fetched = hotswap(
        mlflow_server,
        tmp_path / "cache",
        index.url,
        *("fetch", uri, tmp_path / "fetched"),
        require_signed=signer.trusted,
    )
    assert fetched.returncode == 0, fetched.stderr
    assert (tmp_path / "fetched" / "environment.lock").read_text("utf-8") == locked


def test_a_signed_version_is_not_locked(
    mlflow_server: MlflowServer, index: PackageIndex, name: str, cache_dir: Path, tmp_path: Path
) -> None:
    """A further file would make its signature wrong: nothing is written."""
    uri = f"models:/{name}/2"
    (tmp_path / "model.sig").write_text("whoever made it")
    with mlflow_server.active() as mlflow:
        source = mlflow_server.client.get_model_version(name, "2").source
        logged = source.removeprefix("models:/")
        mlflow_server.client.log_model_artifact(logged, str(tmp_path / "model.sig"))
        ended = hotswap(mlflow_server, cache_dir, index.url, "lock", uri)
        assert ended.returncode == 1
        assert "lock a version before it is signed" in ended.stderr
        got = Path(mlflow.artifacts.download_artifacts(uri, dst_path=str(tmp_path / "got")))
    assert not (got / "environment.lock").exists()


def test_an_environment_is_carried_to_a_machine_without_an_index(
    mlflow_server: MlflowServer, index: PackageIndex, name: str, cache_dir: Path, tmp_path: Path
) -> None:
    """Bundled, refused under another digest, imported, found there by its version, and pruned."""
    uri, tar = f"models:/{name}/1", tmp_path / "x.tar"
    ended = hotswap(mlflow_server, cache_dir, index.url, "env", "bundle", uri, "-o", tar)
    assert ended.returncode == 0, ended.stderr
    digest = ended.stdout.strip().rpartition(" ")[2]

    def there(*arguments: object) -> subprocess.CompletedProcess[str]:
        return hotswap(mlflow_server, tmp_path / "other", "http://127.0.0.1:1/simple", *arguments)

    refused = there("env", "import", tar, "--sha256", "0" * 64)
    assert (refused.returncode, refused.stderr) == (
        1,
        "not imported: its SHA-256 is not the one that was given\n",
    )
    imported = there("env", "import", tar, "--sha256", digest)
    assert imported.returncode == 0, imported.stderr
    assert f"the environment of version 1 of {name} is in this cache: " in imported.stdout
    [kept] = json.loads(there("env", "list", "--json").stdout)["environments"]
    assert kept["key"] in imported.stdout
    assert (kept["packages"], kept["found_by"], kept["in_use"]) == (4, "its lock", False)
    # Its version finds it, though no index answers; and is the same as it was.
    bundled = there("env", "bundle", uri, "-o", tmp_path / "again.tar")
    assert bundled.returncode == 0, bundled.stderr
    assert bundled.stdout.strip().rpartition(" ")[2] == digest
    pruned = json.loads(there("env", "prune", "--all", "--json").stdout)
    assert pruned["removed"] == [kept["key"]]
    assert pruned["kept"]["environments"] == []
