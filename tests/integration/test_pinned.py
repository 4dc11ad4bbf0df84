"""Pointers that can't move: served as any other, and not asked for again once they serve."""

import contextlib
from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial

import pytest

from tests.support.counting_proxy import CountingProxy
from tests.support.python_models import register_picky
from tools.mlflow_server import MlflowServer, unique_name
from tools.running_service import RunningService, start

POLL_INTERVAL_S = 0.1
QUIET_S = 30 * POLL_INTERVAL_S


@dataclass
class Pinned:
    """A service for one pointer, and the proxy through which it sees the registry."""

    uri: str
    stage: str
    name: str
    version: str
    registry: CountingProxy
    service: RunningService

    def reload(self) -> None:
        """Have it look now, which comes after every look that was under way."""
        answer = self.service.post("/reload-model").raise_for_status()
        assert answer.json()["message"].endswith("served already")

    def has_not_looked_for(self, seconds: float) -> bool:
        """Whether its last look is so long ago."""
        age_s: float = self.service.info()["registry"]["age_s"]
        return age_s > seconds


@pytest.fixture(scope="module")
def pinned(
    mlflow_server: MlflowServer, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[dict[str, Pinned]]:
    """Start a service for each form of a pinned pointer, all together."""
    name = unique_name("pinned")
    number = register_picky(mlflow_server, name, factor=3.0)
    with mlflow_server.active():
        found = mlflow_server.client.get_model_version(name, number)
    run_id, model_id = found.run_id, found.source.removeprefix("models:/")
    forms = {
        "number": (f"models:/{name}/{number}", number, name, number),
        "run": (f"runs:/{run_id}/model", "run", "model", run_id),
        "logged model": (f"models:/{model_id}", model_id, "model", model_id),
    }
    with contextlib.ExitStack() as stack:
        services = {}
        for form, (uri, stage, reported, version) in forms.items():
            registry = stack.enter_context(CountingProxy(mlflow_server.uri))
            service = stack.enter_context(
                start(
                    tmp_path_factory.mktemp("pinned"),
                    registry.uri,
                    wait=False,
                    model_uri=uri,
                    poll_interval_s=POLL_INTERVAL_S,
                )
            )
            services[form] = Pinned(uri, stage, reported, version, registry, service)
        for started in services.values():
            started.service.wait_healthy()
        yield services


@pytest.mark.parametrize("form", ["number", "run", "logged model"])
def test_a_pinned_pointer_is_served(pinned: dict[str, Pinned], form: str) -> None:
    """By number, by run, by logged model: the same answers, named as it was asked for."""
    it = pinned[form]
    answer = it.service.predict({"a": 2.0})
    assert answer.raise_for_status().json() == {
        "predictions": [{"y": 6.0}],
        "model_name": it.name,
        "model_stage": it.stage,
        "model_version": it.version,
    }
    info = it.service.info()
    assert (info["ref"], info["model_stage"]) == (it.uri, it.stage)


def test_a_pinned_pointer_is_not_polled_once_it_serves(pinned: dict[str, Pinned]) -> None:
    """No request in thirty poll intervals, whatever its form; a reload still asks."""
    for it in pinned.values():
        it.reload()
    asked = {form: it.registry.requests for form, it in pinned.items()}
    assert all(asked.values())
    for it in pinned.values():
        it.service.wait_until(partial(it.has_not_looked_for, QUIET_S), "it looks no more")
    assert {form: it.registry.requests for form, it in pinned.items()} == asked
    for form, it in pinned.items():
        it.reload()
        assert it.registry.requests > asked[form]
