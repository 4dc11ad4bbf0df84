"""A service of more models than are asked for one by one: a search of the registry follows them."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import pytest

from tests.support.counting_proxy import CountingProxy
from tools import running_service
from tools.load import STEADY_S, Hammer
from tools.mlflow_server import MlflowServer, unique_name
from tools.running_service import RunningService

ALIAS = "champion"
HEAD, OLDER, STAGED, LATEST, BARE = "head", "older", "staged", "latest", "bare"
"""By what each is followed: an alias at its highest version, at an older one, a stage, the latest
version, and an alias that nobody has set.
"""
CLIENTS = 4
LOOKS = 5
SEARCH = b"registered-models/search"


@dataclass
class Fleet:
    """The service, its registry behind a relay, and the registered models."""

    server: MlflowServer
    relay: CountingProxy
    service: RunningService
    registered: dict[str, str]

    def health(self, name: str) -> dict[str, Any]:
        """Return a model's health."""
        answer: dict[str, Any] = self.service.get(f"/models/{name}/health").json()
        return answer

    def wait_serving(self, name: str, version: str) -> None:
        """Wait until a version of a model serves."""
        self.service.wait_until(
            lambda: self.health(name).get("model_version") == version, f"{name} {version} serves"
        )

    def wait_looks(self, count: int) -> None:
        """Wait until the registry was searched so often from now on."""
        before = self.relay.count(SEARCH)
        self.service.wait_until(lambda: self.relay.count(SEARCH) >= before + count, "it is asked")


@pytest.fixture(scope="module")
def fleet(mlflow_server: MlflowServer, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Fleet]:
    """Serve five models, each with two versions; a third one of the one whose alias is older."""
    registered = {name: unique_name(name) for name in (HEAD, OLDER, STAGED, LATEST, BARE)}
    for name in registered.values():
        for factor in (1.0, 2.0):
            mlflow_server.register_tiny(name, factor)
    mlflow_server.register_tiny(registered[OLDER], 3.0)
    for name in (HEAD, OLDER):
        mlflow_server.set_alias(registered[name], ALIAS, 1)
    mlflow_server.set_stage(registered[STAGED], 1)
    targets = {HEAD: f"@{ALIAS}", OLDER: f"@{ALIAS}", STAGED: "/Production", LATEST: "/latest"}
    uris = {
        name: f"models:/{registered[name]}{targets.get(name, f'@{ALIAS}')}" for name in registered
    }
    with CountingProxy(mlflow_server.uri) as relay:
        service = running_service.start(
            tmp_path_factory.mktemp("fleet"),
            relay.uri,
            models=",".join(f"{name}={uri}" for name, uri in uris.items()),
            workers=1,
            probation_s=0,
            keep_warm="false",
        )
        with service:
            fleet = Fleet(mlflow_server, relay, service, registered)
            for name, version in ((HEAD, "1"), (OLDER, "1"), (STAGED, "1"), (LATEST, "2")):
                fleet.wait_serving(name, version)
            yield fleet


def test_models_are_followed_by_one_search_each_look(fleet: Fleet) -> None:
    """Beside it only what it can't tell is asked by name, and a model that has come too late."""

    def are_searched_for() -> bool:
        searched, asked = fleet.relay.count(SEARCH), fleet.relay.requests
        fleet.wait_looks(LOOKS)
        searches, requests = fleet.relay.count(SEARCH) - searched, fleet.relay.requests - asked
        # A look that was under way when counting began counts in part. Where each was asked by
        # name, too, it would be more than five a search.
        return requests - searches <= 3 * (searches + 1)

    # On a busy machine the models' looks begin further apart than a search waits for.
    fleet.service.wait_until(are_searched_for, "a search is for most of the models")


def test_each_is_promoted_while_the_others_serve(fleet: Fleet) -> None:
    """By alias forth and back, by stage, by a new version: 0 requests fail; and absence is seen."""
    server, registered = fleet.server, fleet.registered
    hammers = [
        Hammer(fleet.service.url, CLIENTS, path=f"/models/{name}/predict", pause_s=STEADY_S)
        for name in (HEAD, OLDER, STAGED, LATEST)
    ]
    for hammer in hammers:
        hammer.__enter__()
    try:
        server.set_alias(registered[HEAD], ALIAS, 2)
        server.set_alias(registered[OLDER], ALIAS, 2)
        server.set_stage(registered[STAGED], 2)
        server.register_tiny(registered[LATEST], 3.0)
        for name, version in ((HEAD, "2"), (OLDER, "2"), (STAGED, "2"), (LATEST, "3")):
            fleet.wait_serving(name, version)
        server.set_alias(registered[HEAD], ALIAS, 1)
        fleet.wait_serving(HEAD, "1")
        server.delete_alias(registered[OLDER], ALIAS)
        fleet.service.wait_until(
            lambda: "nothing is promoted" in str(fleet.health(OLDER)), "its absence is seen"
        )
        server.set_alias(registered[OLDER], ALIAS, 3)
        fleet.wait_serving(OLDER, "3")
    finally:
        for hammer in hammers:
            hammer.__exit__()
    assert [hammer.failed for hammer in hammers] == [[], [], [], []]
    assert "nothing is promoted" in str(fleet.health(BARE))


def test_an_outage_of_the_registry_is_nobodys_absence(fleet: Fleet) -> None:
    """All serve on, each says why it is stale, and the next promotion is seen."""
    with (
        Hammer(
            fleet.service.url, CLIENTS, path=f"/models/{HEAD}/predict", pause_s=STEADY_S
        ) as seen,
        fleet.relay.away(),
    ):
        for name in (HEAD, OLDER, STAGED, LATEST):
            fleet.service.wait_until(
                lambda name=name: fleet.health(name).get("registry_error"),  # type: ignore[misc]
                "the outage is seen",
            )
            assert "nothing is promoted" not in str(fleet.health(name))
    assert seen.failed == []
    serving = fleet.health(HEAD)["model_version"]
    wanted = {"1": "2", "2": "1"}[serving]
    fleet.server.set_alias(fleet.registered[HEAD], ALIAS, wanted)
    fleet.wait_serving(HEAD, wanted)
