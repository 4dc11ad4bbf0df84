"""Versions in environments of their own, built and served by a real service."""

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support import told_versions
from tests.support.followed import ALIAS, serving
from tests.support.signed import Signer
from tools.load import Hammer
from tools.mlflow_server import MlflowServer
from tools.package_index import PackageIndex
from tools.running_service import RunningService

CLIENTS = 16
PAUSE_S = 0.05
"""An environment is built with what others leave of the CPUs."""
FACTORS = {"1": 2.0, "2": 3.0}
"""The library's version in each version of the model."""


@pytest.fixture(scope="module")
def index(tmp_path_factory: pytest.TempPathFactory) -> Iterator[PackageIndex]:
    """Offer the library in three versions."""
    folder = tmp_path_factory.mktemp("packages") / "offered"
    with told_versions.offered(folder, "2.0", "3.0", "4.0") as index:
        yield index


@pytest.fixture(scope="module")
def model(mlflow_server: MlflowServer) -> str:
    """Register three versions of a model, each with another version of the library."""
    name = told_versions.register(mlflow_server, "2.0", "3.0", "4.0")
    mlflow_server.set_alias(name, ALIAS, 1)
    return name


@pytest.fixture(scope="module")
def service(
    mlflow_server: MlflowServer,
    model: str,
    index: PackageIndex,
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[RunningService]:
    """Serve the model, each of its versions in its own environment."""
    folder = tmp_path_factory.mktemp("own")
    # What a version pins is installed all the same.
    index.yanked["lib_that_tells-2.0-py3-none-any.whl"] = "it tells too much"
    settings = {"environment": "auto", "probation_s": 0, **told_versions.variables_for(index)}
    with serving(folder, mlflow_server.uri, model, **settings) as service:
        service.wait_serving(1)
        yield service


def _every_client_saw(hammer: Hammer, version: str) -> bool:
    return all(seen and seen[-1].version == version for seen in hammer.seen)


def test_versions_with_other_libraries_are_swapped_to_and_fro(
    service: RunningService, mlflow_server: MlflowServer, model: str
) -> None:
    """With 16 clients: none fails, each answer is that of its version's own library."""
    with Hammer(service.url, CLIENTS, pause_s=PAUSE_S) as hammer:
        for version in ("1", "2", "1"):
            mlflow_server.set_alias(model, ALIAS, version)
            service.wait_until(
                lambda version=version: _every_client_saw(hammer, version),  # type: ignore[misc]
                f"all clients see version {version}",
            )
    assert hammer.failed == []
    assert hammer.mixed(FACTORS) == []
    assert hammer.changes() == [["1", "2", "1"]] * CLIENTS
    environment = service.info()["serving"]["environment"]
    assert environment["shared"] is False
    assert environment["found_by"] == "requirements.txt"
    assert environment["packages"] == len(told_versions.LENT) + 1
    assert "it tells too much" in " ".join(environment["notes"])
    again, first = (
        next(one for one in service.info()["promotions"][skipped:] if one["version"] == "1")
        for skipped in (0, 1)
    )
    assert first["environment"]["was_there"] is False
    assert again["environment"]["was_there"] is True
    assert again["environment"]["lock_digest"] == first["environment"]["lock_digest"]
    (verdict,) = (one for one in again["verdicts"] if one["gate"] == "environment")
    assert "it was there; in the service's own: lib-that-tells ==2.0 wanted" in verdict["reason"]


def test_health_says_since_when_a_promotion_waits_for_its_environment(
    service: RunningService, mlflow_server: MlflowServer, model: str, index: PackageIndex
) -> None:
    """The index is down: what serves goes on, and the promotion is made once it is up again."""
    index.down()
    try:
        mlflow_server.set_alias(model, ALIAS, 3)

        def told() -> str:
            health = service.get("/health")
            assert health.status_code == 200
            return str(health.json()["degraded"])

        service.wait_until(lambda: "of which" in told(), "health says why it waits")
        assert told().startswith("version 3 waits for its environment since 20")
        assert service.predict({"a": 1.0}).json()["model_version"] != "3"
        waiting = service.info()["waiting"]
        assert waiting["version"] == "3"
        assert waiting["failed_builds"] >= 1
        assert service.get("/health").json()["model_version"] is not None
    finally:
        index.up()
    service.wait_serving(3)
    assert service.predict({"a": 1.0}).json()["predictions"] == [{"y": 4.0}]
    assert service.info()["waiting"] is None
    assert service.get("/health").json()["degraded"] is None


def test_a_version_that_needs_nothing_else_shares_the_environment_of_the_service(
    service: RunningService, mlflow_server: MlflowServer, model: str, index: PackageIndex
) -> None:
    """Nothing is asked of the index, and nothing is built."""
    asked = len(index.asked)
    number = mlflow_server.register_tiny(model, 5.0)
    mlflow_server.set_alias(model, ALIAS, number)
    service.wait_serving(number)
    info = service.info()
    assert info["serving"]["environment"]["shared"] is True
    assert "build" not in info["promotions"][0]["durations_s"]
    assert len(index.asked) == asked


def test_check_builds_too(
    service: RunningService, mlflow_server: MlflowServer, model: str, index: PackageIndex
) -> None:
    """It says how the environment came to be there, and loads the version in it."""
    ended = service.hotswap(
        "check",
        environment="own",
        model_uri=f"models:/{model}/2",
        mlflow_tracking_uri=mlflow_server.uri,
        cache_dir=service.cache_dir,
        **told_versions.variables_for(index),
    )
    assert ended.returncode == 0, ended.stdout + ended.stderr
    lines = {line.split()[0]: line for line in ended.stdout.splitlines()}
    assert "its own environment, with Python" in lines["environment"]
    assert lines["load"].split()[1] == "pass"


def test_what_can_not_be_had_is_refused_with_the_words_of_the_resolver(
    service: RunningService, mlflow_server: MlflowServer, model: str
) -> None:
    """And what serves goes on."""
    before = service.get("/health").json()["model_version"]
    number = told_versions.register_one(mlflow_server, model, ["lib-that-tells==9.9"])
    mlflow_server.set_alias(model, ALIAS, number)
    service.wait_until(
        lambda: (
            service.info()["refused"][-1:] and service.info()["refused"][-1]["version"] == number
        ),
        "it is refused",
    )
    reason = service.info()["refused"][-1]["reason"]
    assert "lib-that-tells" in reason
    assert "9.9" in reason
    health = service.get("/health").json()
    assert health["model_version"] == before
    assert reason[:100] in json.dumps(health)


def test_nothing_is_built_for_a_version_before_its_signature_was_found(
    mlflow_server: MlflowServer, index: PackageIndex, tmp_path: Path
) -> None:
    """Unsigned, the index is not even asked; signed, it serves in an environment of its own."""
    signer, folder = Signer(tmp_path / "keys", "ci"), tmp_path / "service"
    name = told_versions.register(mlflow_server, "2.0", stem="signed")
    mlflow_server.set_alias(name, ALIAS, 1)
    asked = len(index.asked)
    settings = {"environment": "own", "require_signed": signer.trusted, "probation_s": 0}
    settings |= told_versions.variables_for(index)
    with serving(folder, mlflow_server.uri, name, wait=False, **settings) as service:
        service.wait_until(lambda: service.info()["refused"], "it is refused")
        (refused,) = service.info()["refused"]
        assert "it is not signed" in refused["reason"]
        assert len(index.asked) == asked
        ended = service.hotswap(
            "sign",
            f"models:/{name}/1",
            f"--key={signer.private}",
            mlflow_tracking_uri=mlflow_server.uri,
            cache_dir=tmp_path / "signing",
        )
        assert (ended.returncode, ended.stderr) == (0, "")
        assert service.post("/reload-model").status_code == 200
        serves = service.info()["serving"]
        assert serves["signed_by"].startswith("ci.pem (sha256:")
        assert serves["environment"]["shared"] is False
        assert service.predict({"a": 1.0}).json()["predictions"] == [{"y": 2.0}]
