"""`POST /reload-model`, and a registry that can't be asked: each answer of the HTTP section."""

from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.support.counting_proxy import CountingProxy
from tests.support.python_models import register_picky
from tools.mlflow_server import MlflowServer, unique_name
from tools.running_service import RunningService, start

PREFIX = "urn:mlflow-hotswap:"
LOAD_TIMEOUT_S = 5
ALIAS = "live"
AFAR = {"x-forwarded-for": "192.0.2.7"}


@dataclass
class Late:
    """A service, the registry that it sees through a proxy, and what it said before it did."""

    server: MlflowServer
    registry: CountingProxy
    service: RunningService
    name: str
    before: dict[str, httpx.Response]

    def register(self, **config: object) -> str:
        """Register one more version of the picky model."""
        return register_picky(self.server, self.name, **config)

    def promote(self, version: str) -> None:
        """Move the pointer."""
        self.server.set_alias(self.name, ALIAS, version)

    def reload(self) -> httpx.Response:
        """Look at the registry now."""
        return self.service.post("/reload-model")

    def promotions(self, version: str) -> list[dict[str, Any]]:
        """Return the promotions of one version, the newest first."""
        return [told for told in self.service.info()["promotions"] if told["version"] == version]

    def state(self, version: str) -> str | None:
        """Return where a version stands."""
        states = {told["version"]: told["state"] for told in self.service.info()["versions"]}
        return states.get(version)

    def wait_for_looks(self, count: int) -> None:
        """Wait until the registry was looked at so many times more."""
        for _ in range(count):
            seen = self.last_look()
            self.service.wait_until(partial(self._looked_since, seen), "another look")

    def last_look(self) -> str:
        """Return when the registry was last seen."""
        moment: str = self.service.info()["registry"]["last_good_look_at"]
        return moment

    def _looked_since(self, seen: str) -> bool:
        return self.last_look() != seen


@pytest.fixture(scope="module")
def late(mlflow_server: MlflowServer, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Late]:
    """Start a service while its registry is down, ask it everything, and let the registry come."""
    name, registry = unique_name("late"), CountingProxy(mlflow_server.uri)
    mlflow_server.set_alias(name, ALIAS, register_picky(mlflow_server, name, factor=2.0))
    with start(
        tmp_path_factory.mktemp("late"),
        registry.uri,
        wait=False,
        model_uri=f"models:/{name}@{ALIAS}",
        load_timeout_s=LOAD_TIMEOUT_S,
        admin_open="true",
    ) as service:
        service.wait_until(
            lambda: service.get("/health").json()["registry_error"], "it missed the registry"
        )
        before = {path: service.get(path) for path in ("/health", "/health/live", "/model/info")}
        before["/predict"] = service.predict({"a": 1.0})
        before["/reload-model"] = service.post("/reload-model")
        with registry:
            service.wait_healthy()
            yield Late(mlflow_server, registry, service, name, before)


@pytest.fixture
def aside() -> Iterator[Callable[..., "Future[httpx.Response]"]]:
    """Give a way to make a call meanwhile."""
    with ThreadPoolExecutor(4) as pool:
        yield pool.submit


def problem(answer: httpx.Response, status: int, code: str) -> dict[str, Any]:
    """Return a problem's body."""
    assert answer.status_code == status, answer.text
    assert answer.headers["content-type"] == "application/problem+json"
    body: dict[str, Any] = answer.json()
    assert (body["type"], body["status"]) == (PREFIX + code, status)
    return body


# -- a registry that is down -------------------------------------------------------------------


def test_a_registry_that_is_down_at_start_ends_nothing(late: Late) -> None:
    """The port is bound immediately: the process lives, says what is wrong, and answers 503."""
    health = late.before["/health"]
    assert health.status_code == 503
    body = health.json()
    assert (body["status"], body["model_loaded"]) == ("unhealthy", False)
    assert (body["model_name"], body["model_stage"]) == (late.name, f"@{ALIAS}")
    assert late.registry.uri in body["error"]
    assert late.before["/health/live"].status_code == 200
    info = late.before["/model/info"].json()
    assert (info["loaded"], info["model_version"], info["serving"]) == (False, None, None)
    problem(late.before["/predict"], 503, "no-version")
    assert late.before["/predict"].headers["retry-after"]


def test_a_reload_without_a_registry_is_a_bad_gateway(late: Late) -> None:
    """502 before the first version and after it; what serves keeps serving."""
    problem(late.before["/reload-model"], 502, "registry-unavailable")
    with late.registry.away():
        told = problem(late.reload(), 502, "registry-unavailable")
        assert late.registry.uri in told["detail"]
        assert late.service.predict({"a": 1.0}).status_code == 200
        health = late.service.get("/health")
        assert health.status_code == 200
        assert health.json()["registry_error"]
    assert late.reload().status_code == 200
    assert late.service.get("/health").json()["registry_error"] is None


# -- 200 ---------------------------------------------------------------------------------------


def test_a_reload_answers_when_the_new_version_serves(late: Late) -> None:
    """The very next request gets it; a second reload finds it serving and loads nothing."""
    version = late.register(factor=3.0)
    late.promote(version)
    answer = late.reload()
    assert answer.status_code == 200
    body = answer.json()
    assert body.pop("message").startswith(f"version {version} ")
    assert body == {"status": "success", "stage": f"@{ALIAS}", "model_version": version}
    prediction = late.service.predict({"a": 2.0})
    assert prediction.json()["predictions"] == [{"y": 6.0}]
    assert prediction.json()["model_version"] == version

    before = late.service.info()
    again = late.reload()
    assert again.status_code == 200
    assert again.json() == {
        "status": "success",
        "message": f"version {version} served already",
        "stage": f"@{ALIAS}",
        "model_version": version,
    }
    after = late.service.info()
    assert after["serving"]["since"] == before["serving"]["since"]
    assert after["serving"]["pool"]["pids"] == before["serving"]["pool"]["pids"]
    assert len(after["promotions"]) == len(before["promotions"])


def test_a_reload_joins_a_rollout_under_way(late: Late) -> None:
    """A version that the poll has noticed is not begun anew."""
    version = late.register(load_s=1.0)
    late.promote(version)
    late.service.wait_until(lambda: late.state(version) == "loading", "it loads")
    answer = late.reload()
    assert (answer.status_code, answer.json()["model_version"]) == (200, version)
    (promotion,) = late.promotions(version)
    assert (promotion["trigger"], promotion["ending"]) == ("poll", "serving")


def test_admin_open_lets_everyone_reload(late: Late) -> None:
    """From afar, too, and without a token."""
    assert late.service.post("/reload-model", headers=AFAR).status_code == 200


# -- 409 ---------------------------------------------------------------------------------------


def test_a_refused_version_is_a_conflict_with_its_verdicts(late: Late) -> None:
    """The caller learns the gate and its reason, without passwords; the incumbent serves on."""
    incumbent = late.service.info()["model_version"]
    version = late.register(load_fault="no table at postgresql://me:s3cr3t@db/features")
    late.promote(version)
    told = problem(late.reload(), 409, "version-refused")
    *before, verdict = told["verdicts"]
    assert all(earlier["outcome"] != "refuse" for earlier in before)
    assert (verdict["gate"], verdict["outcome"]) == ("load", "refuse")
    assert "ValueError: no table at postgresql://***@db/features" in verdict["reason"]
    assert late.service.predict({"a": 1.0}).json()["model_version"] == incumbent
    health = late.service.get("/health").json()
    assert (health["model_version"], health["promoted_version"]) == (incumbent, version)
    assert late.promotions(version)[0]["verdicts"] == told["verdicts"]
    assert "s3cr3t" not in late.service.get("/model/info").text
    assert "s3cr3t" not in late.service.log.read_text("utf-8")
    (line,) = [event for event in late.service.events() if "while loading" in event["event"]]
    assert (line["model"], line["version"]) == (late.name, version)
    assert "in load_context" in line["exception"]


def test_only_a_reload_lifts_a_quarantine(late: Late, tmp_path: Path) -> None:
    """A refusal is final for the poll, however often it looks; a reload gives another try."""
    wanted = tmp_path / "wanted"
    version = late.register(wants=str(wanted))
    late.promote(version)
    late.service.wait_until(lambda: late.state(version) == "failed", "it is refused")
    wanted.touch()
    late.wait_for_looks(4)
    assert [told["ending"] for told in late.promotions(version)] == ["refused"]
    assert late.reload().json()["model_version"] == version
    assert [(told["trigger"], told["ending"]) for told in late.promotions(version)] == [
        ("reload", "serving"),
        ("poll", "refused"),
    ]


def test_a_reload_finds_nothing_promoted(late: Late) -> None:
    """The pointer is gone: the caller is told, health shows it, and the last version serves on."""
    incumbent = late.service.info()["model_version"]
    late.server.delete_alias(late.name, ALIAS)
    problem(late.reload(), 409, "nothing-promoted")
    health = late.service.get("/health")
    assert health.status_code == 200
    assert health.json()["promoted_version"] is None
    assert late.service.predict({"a": 1.0}).json()["model_version"] == incumbent
    late.promote(incumbent)
    assert late.reload().json()["message"] == f"version {incumbent} served already"


def test_a_superseded_version_is_a_conflict(
    late: Late, aside: Callable[..., "Future[httpx.Response]"]
) -> None:
    """A call that waits for a version that is overtaken is told so, and the newer one serves."""
    slow, fast = late.register(load_s=3.0), late.register(factor=7.0)
    late.promote(slow)
    waiting = aside(late.reload)
    late.service.wait_until(lambda: late.state(slow) == "loading", "it loads")
    late.promote(fast)
    problem(waiting.result(), 409, "superseded")
    late.service.wait_serving(fast)
    assert late.promotions(slow)[0]["ending"] == "superseded"


# -- 504 ---------------------------------------------------------------------------------------


def test_a_reload_that_takes_too_long_goes_on(late: Late) -> None:
    """Past LOAD_TIMEOUT_S the caller is answered 504, and later the version serves."""
    version = late.register(load_s=2.7, first_s=2.7)
    late.promote(version)
    told = problem(late.reload(), 504, "reload-timeout")
    assert "LOAD_TIMEOUT_S" in told["detail"]
    late.service.wait_serving(version)
