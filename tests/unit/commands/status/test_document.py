from typing import Any

import msgspec
import pytest

from service.commands.status.answers import Health, Info, Listed, Models
from service.commands.status.document import (
    Candidate,
    ModelState,
    ModelStatus,
    ServiceStatus,
    status_of_model,
    troubles_of_service,
)
from tests.support.status_documents import SINCE, info, listed


def model(listed_: dict[str, Any], info_: dict[str, Any]) -> ModelStatus:
    """Return what is made of a model's two answers."""
    return status_of_model(msgspec.convert(listed_, Listed), msgspec.convert(info_, Info))


RED: dict[str, Any] = {"status": "unhealthy", "model_version": None, "error": "it can't"}
PROVING = [{"version": "3", "state": "failed"}, {"version": "2", "state": "proving"}]


def test_a_model_that_serves() -> None:
    """Each value stands where it belongs, and nothing is wrong."""
    assert model(listed(), info()) == ModelStatus(
        name="tiny",
        model_name="tiny-registered",
        pointer="@champion",
        state=ModelState.SERVING,
        can_answer=True,
        promoted_version="1",
        serving_version="1",
        since=SINCE,
        workers=2,
        workers_alive=2,
        answered=12,
        failed=3,
        registry_age_s=0.25,
    )


@pytest.mark.parametrize(
    ("listed_", "info_", "state"),
    [
        (listed(degraded="a disk is full"), info(), "degraded"),
        (listed(), info(versions=PROVING), "loading"),
        (listed(**RED), info(None, versions=PROVING), "loading"),
        (listed(**RED), info(), "no worker"),
        (listed(**RED), info(None, None), "nothing promoted"),
        (listed(**RED), info(None, "1"), "not serving"),
        (listed(**RED), info(None, None, pin={"version": "7"}), "not serving"),
        (
            listed(**RED),
            info(None, registry={"promoted_version": None, "age_s": None, "error": "it is away"}),
            "not serving",
        ),
    ],
)
def test_each_state(listed_: dict[str, Any], info_: dict[str, Any], state: str) -> None:
    """A registry that was never seen promotes not nothing, and neither does a pin."""
    assert model(listed_, info_).state == state


def test_a_version_on_its_way_is_named_with_its_step() -> None:
    """One that has failed is on its way no more."""
    assert model(listed(), info(versions=PROVING)).candidate == Candidate("2", "proving")


def test_a_build_that_is_under_way_is_shown_with_how_far_it_is() -> None:
    """As the service says it of the version."""
    reason = "download, numpy 2.3.1, 1 of 3 packages"
    building = [{"version": "2", "state": "building", "reason": reason}]
    status = model(listed(), info(versions=building))
    assert status.candidate == Candidate("2", "building", reason)
    assert status.state == "loading"


def test_what_is_wrong_with_a_model() -> None:
    """What the service says of it, the registry's error, and workers that are lost."""
    wrong = info(registry={"promoted_version": "1", "age_s": 90.0, "error": "connection refused"})
    wrong["serving"]["pool"]["alive"] = 1
    assert model(listed(degraded="a disk is full"), wrong).troubles == [
        "a disk is full",
        "the registry can't be asked: connection refused",
        "1 of 2 workers live",
    ]
    away = info(None, registry={"promoted_version": None, "age_s": None, "error": "it can't"})
    assert model(listed(**RED), away).troubles == ["it can't"]


@pytest.mark.parametrize(
    ("health", "troubles"),
    [
        (Health("healthy"), []),
        (Health("healthy", degraded="a disk is full"), []),
        (
            Health("healthy", degraded="a disk is full; models.toml is wrong"),
            ["models.toml is wrong"],
        ),
        (Health("unhealthy", error="it can't", degraded="a disk is full"), []),
        (Health("unhealthy", "the service is ending"), ["the service is ending"]),
    ],
)
def test_what_is_wrong_with_the_service_is_told_once(health: Health, troubles: list[str]) -> None:
    """What it repeats of its models stands with those."""
    models = [listed("a", degraded="a disk is full"), listed("b", **RED)]
    read = msgspec.convert({"default": "a", "models": models}, Models)
    if health.degraded is None:
        read = msgspec.structs.replace(read, default="b")
    assert troubles_of_service(health, read) == troubles


def test_the_exit_status() -> None:
    """0 where every model can answer, 1 where some can't or there is none, 2 without an answer."""
    good, red = model(listed(), info()), model(listed(**RED), info(None))

    def ends(*models: ModelStatus) -> int:
        return ServiceStatus(url="", answers=True, models=list(models)).exit_status

    assert (ends(good, good), ends(good, red), ends()) == (0, 1, 1)
    assert ServiceStatus(url="", answers=False, models=[good]).exit_status == 2
