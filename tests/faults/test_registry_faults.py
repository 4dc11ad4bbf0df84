"""The registry breaks or says odd things: what serves goes on, and promotions land afterwards."""

import re
import time
from concurrent.futures import ThreadPoolExecutor

import pytest

from tests.faults.conftest import Rig
from tests.support.fault_proxy import Fault
from tests.support.followed import ALIAS
from tools.mlflow_server import unique_name

METHODS = {"get", "head", "post", "put", "delete", "options"}
ANSWER_S = 20.0
"""Ten times what one look at the registry may take here."""
FLAPS = 12
FLAP_PAUSE_S = 0.15
UNDER_WAY = {"fetching", "loading", "proving"}


@pytest.mark.parametrize(
    ("fault", "told"),
    [
        pytest.param(Fault.REFUSED, "connection refused", id="refused"),
        pytest.param(Fault.SILENT, "in time|no answer", id="silent"),
        pytest.param(Fault.DRIPPING, "in time|no answer", id="dripping"),
        pytest.param(Fault.ANSWERS_400, "Not today", id="400"),
        pytest.param(Fault.ANSWERS_401, "who asks", id="401"),
        pytest.param(Fault.ANSWERS_404_PAGE, "404|MLflow's own", id="404-page"),
        pytest.param(Fault.ANSWERS_429, "less often", id="429"),
        pytest.param(Fault.ANSWERS_500, "answered 500", id="500"),
        pytest.param(Fault.ANSWERS_HTML, "MLflow's own", id="html"),
        pytest.param(Fault.ENDLESS, "more than 16000000 bytes", id="endless"),
        pytest.param(Fault.ENDLESS_LINE, "exceeded maximum", id="endless-line"),
    ],
)
def test_registry_fault(rig: Rig, fault: Fault, told: str) -> None:
    """Serving goes on, health says what is wrong; a promotion made meanwhile lands afterwards."""
    with rig.exact_traffic():
        serving = rig.serving()
        with rig.proxy.failing(fault):
            wanted = rig.promote_other()
            rig.service.wait_until(
                lambda: re.search(told, rig.health()["registry_error"] or ""), f"health: {told}"
            )
            rig.service.wait_until(
                lambda: (
                    rig.health()["registry_age_s"] > 1
                    and (rig.proxy.met > 1 or fault is Fault.REFUSED)
                ),
                "asked again and stale",
            )
            assert rig.serving() == serving
        rig.service.wait_serving(wanted)
        assert rig.health()["registry_error"] is None


def test_no_route_waits_for_the_registry_without_a_limit(rig: Rig) -> None:
    """Each that the document lists begins to answer, though the registry says nothing."""
    document = rig.service.get("/schema/openapi.json").raise_for_status().json()
    calls = [
        (method.upper(), path.replace("{name}", rig.name).replace("{version}", rig.serving()))
        for path, methods in document["paths"].items()
        for method in methods
        if method in METHODS
    ]
    assert len(calls) > 40

    assert not any("{" in path for _, path in calls)

    def ask(call: tuple[str, str]) -> int:
        method, path = call
        # A stream never ends: that it begins is its answer.
        with rig.service.client.stream(method, path, json={}, timeout=ANSWER_S) as answer:
            return answer.status_code

    reads = [call for call in calls if call[0] == "GET"]
    usual = {call: ask(call) for call in reads}
    with rig.proxy.failing(Fault.SILENT), ThreadPoolExecutor(len(calls)) as pool:
        statuses = dict(zip(calls, pool.map(ask, calls), strict=True))
    assert {call: statuses[call] for call in reads} == usual
    assert {call for call, status in statuses.items() if status == 500} == set()
    assert {statuses["POST", "/reload-model"], statuses["DELETE", "/model/pin"]} <= {409, 502, 504}
    rig.service.wait_until(lambda: rig.health()["registry_error"] is None, "it is seen again")


def test_alias_deleted(rig: Rig) -> None:
    """The last version goes on serving and health says why; the alias is followed again."""
    with rig.exact_traffic():
        serving = rig.serving()
        rig.server.delete_alias(rig.name, ALIAS)
        _keeps_unpromoted(rig, serving)
        rig.service.wait_serving(rig.promote_other())


def test_version_deleted(rig: Rig) -> None:
    """A version that is deleted while it serves goes on, until another is promoted."""
    with rig.exact_traffic():
        version = rig.promote_new(5.0)
        rig.service.wait_serving(version)
        rig.server.delete_version(rig.name, version)
        _keeps_unpromoted(rig, version)
        rig.service.wait_serving(rig.promote("1"))


def test_model_renamed(rig: Rig) -> None:
    """The last version goes on serving; under its old name the model is followed again."""
    with rig.exact_traffic():
        serving, other = rig.serving(), unique_name("renamed")
        rig.server.client.rename_registered_model(rig.name, other)
        _keeps_unpromoted(rig, serving)
        rig.server.client.rename_registered_model(other, rig.name)
        rig.service.wait_serving(rig.promote_other())


def test_model_deleted_and_made_again(rig: Rig) -> None:
    """The new version 1 is served, not the one of that number that lies in the store."""
    rig.service.wait_serving(rig.promote("1"))
    old, new = rig.factors["1"], 7.0
    with rig.traffic() as hammer:
        rig.server.delete_model(rig.name)
        _keeps_unpromoted(rig, "1")
        for factor in (new, rig.factors["2"]):
            rig.server.register_tiny(rig.name, factor)
        rig.promote("1")
        rig.factors["1"] = new
        rig.service.wait_until(
            lambda: rig.service.predict({"a": 1.0}).json()["predictions"] == [{"y": new}],
            "the new version 1 serves",
        )
    for seen in hammer.seen:
        factors = [(answer.got or 0.0) / answer.sent for answer in seen]
        # Old ones first, and never again after the first new one.
        assert [round(factor, 9) for factor in factors] == sorted(round(f, 9) for f in factors)
        assert {round(factor, 9) for factor in factors} == {old, new}


def test_alias_flapping(rig: Rig) -> None:
    """Moved faster than a version loads: one candidate at a time, and the last wish serves."""
    logged = len(rig.service.events())
    crowded = []
    with rig.exact_traffic():
        wanted = rig.serving()
        for _ in range(FLAPS):
            wanted = rig.promote("2" if wanted == "1" else "1")
            states = [version["state"] for version in rig.service.info()["versions"]]
            if sum(state in UNDER_WAY for state in states) > 1:
                crowded.append(states)
            # The fault itself: a pace that no load can follow.
            time.sleep(FLAP_PAUSE_S)
        wanted = rig.promote("2" if wanted == "1" else "1")
        rig.service.wait_serving(wanted)
        rig.service.wait_until(lambda: rig.health()["degraded"] is None, "settled")
    assert crowded == []
    assert rig.serving() == wanted
    under_way = 0
    for event in rig.service.events()[logged:]:
        under_way += event.get("event") == "promotion noticed"
        under_way -= event.get("event") in {"promotion ended", "version serves"}
        assert under_way in {0, 1}


def _keeps_unpromoted(rig: Rig, version: str) -> None:
    """Wait until health says that nothing is promoted, and see that the version still serves."""
    rig.service.wait_until(
        lambda: "nothing is promoted" in (rig.health()["degraded"] or ""), "nothing is promoted"
    )
    health = rig.health()
    assert (health["model_version"], health["registry_error"]) == (version, None)
