"""Pinned, rolled back, and started without a registry: on real servers and processes."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.counting_proxy import CountingProxy
from tools import running_service
from tools.load import Hammer
from tools.mlflow_server import MlflowServer, unique_name
from tools.running_service import RunningService

FACTORS = {"1": 2.0, "2": 3.0}


@pytest.fixture(scope="module")
def tiny(mlflow_server: MlflowServer) -> str:
    """Register two versions of the tiny model, the second one promoted."""
    name = unique_name("pinned")
    for factor in FACTORS.values():
        mlflow_server.register_tiny(name, factor)
    mlflow_server.set_alias(name, "champion", 2)
    return name


@pytest.fixture(scope="module")
def service(
    mlflow_server: MlflowServer, tiny: str, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[RunningService]:
    """Start a service that follows it."""
    folder = tmp_path_factory.mktemp("pinned")
    with running_service.start(
        folder, mlflow_server.uri, model_uri=f"models:/{tiny}@champion"
    ) as running:
        yield running


def test_a_pin_serves_its_version_and_is_loud(service: RunningService) -> None:
    """In health and in info; without it the registry is followed again."""
    assert service.post("/model/pin", {"version": "1"}).json()["model_version"] == "1"
    assert service.predict({"a": 1.0}).json()["predictions"] == [{"y": 2.0}]
    health = service.get("/health").json()
    assert (health["model_version"], health["pinned_version"]) == ("1", "1")
    assert health["promoted_version"] == "2"
    assert service.info()["pin"]["version"] == "1"
    answer = service.client.delete("/model/pin")
    assert (answer.status_code, answer.json()["model_version"]) == (200, "2")
    assert service.get("/health").json()["pinned_version"] is None


def test_the_command_pins_and_unpins(service: RunningService) -> None:
    """And says what the service says."""
    pinned = service.hotswap("pin", "1")
    assert (pinned.returncode, pinned.stdout) == (0, "version 1 is pinned and serves\n")
    absent = service.hotswap("pin", "99")
    assert absent.returncode == 1
    assert "99" in absent.stderr
    assert service.hotswap("unpin").returncode == 0
    assert service.get("/health").json()["model_version"] == "2"


@pytest.mark.parametrize(
    ("body", "status"),
    [
        (b"", 400),
        (b"{}", 400),
        (b'{"version": true}', 400),
        (b'{"version": "99"}', 404),
        (b'{"version": "%b"}' % (b"9" * 5000), 400),
        (b'{"version": %b}' % (b"9" * 5000), 400),
    ],
    ids=["empty", "none", "a truth value", "unknown", "5,000 digits", "a number of 5,000 digits"],
)
def test_a_pin_of_nothing_changes_nothing(
    service: RunningService, body: bytes, status: int
) -> None:
    """A body that names no version, and a version that nobody has."""
    assert service.post("/model/pin", body).status_code == status
    assert service.get("/health").json()["pinned_version"] is None


def test_a_pin_from_afar_wants_the_token(service: RunningService) -> None:
    """As a reload does."""
    afar = {"x-forwarded-for": "203.0.113.9"}
    answers = [
        service.post("/model/pin", b'{"version":"1"}', headers=afar),
        service.client.delete("/model/pin", headers=afar),
    ]
    assert [answer.status_code for answer in answers] == [401, 401]


def test_a_start_without_a_registry_serves_the_last_known_good_version(
    mlflow_server: MlflowServer, tiny: str, tmp_path: Path
) -> None:
    """From the store, and says why and since when; a pin can be set from there, too."""
    pointer, registry = f"models:/{tiny}@champion", CountingProxy(mlflow_server.uri)
    with (
        registry,
        running_service.start(tmp_path, registry.uri, model_uri=pointer) as first,
    ):
        first.post("/model/pin", {"version": "1"}).raise_for_status()
        first.client.delete("/model/pin").raise_for_status()
    with running_service.start(tmp_path, registry.uri, model_uri=pointer) as again:
        health = again.get("/health").json()
        assert health["model_version"] == "2"
        assert health["registry_error"]
        assert health["registry_error"] in health["degraded"]
        assert health["registry_last_seen"] is None
        assert again.post("/model/pin", {"version": "1"}).json()["model_version"] == "1"
        assert again.client.delete("/model/pin").status_code == 502
        assert again.predict({"a": 1.0}).json()["predictions"] == [{"y": 2.0}]


def test_a_version_that_fails_on_probation_is_rolled_back_under_load(
    mlflow_server: MlflowServer, tmp_path: Path
) -> None:
    """The one before takes over; only requests of the bad one failed, and it is refused."""
    name = unique_name("rolled-back")
    mlflow_server.register_unruly(name, 2.0)
    mlflow_server.register_unruly(name, 3.0, limit=50.0)
    mlflow_server.set_alias(name, "champion", 1)
    with running_service.start(
        tmp_path, mlflow_server.uri, model_uri=f"models:/{name}@champion"
    ) as service:
        with Hammer(service.url, 4, instance=lambda number: {"a": number, "do": ""}) as hammer:
            service.wait_until(lambda: len(hammer.all) > 50, "answers by version 1")
            mlflow_server.set_alias(name, "champion", 2)
            service.wait_until(
                lambda: service.info()["promotions"][0]["ending"] == "rolled back", "rolled back"
            )
            good = len(hammer.all) - len(hammer.failed)
            service.wait_until(
                lambda: len(hammer.all) - len(hammer.failed) > good + 100, "answers by version 1"
            )
        assert {seen.status for seen in hammer.failed} == {500}
        assert hammer.mixed(FACTORS) == []
        assert hammer.changes() == [["1"]] * 4
        health = service.get("/health").json()
        assert (health["model_version"], health["promoted_version"]) == ("1", "2")
        assert "rolled back" in health["degraded"]
