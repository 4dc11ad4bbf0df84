"""Several models in one service: by name, added, changed and removed, and none harms another."""

import json
import signal
import socket
import sys
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any
from urllib.parse import quote, urlsplit

import psutil
import pytest

from tests.support import footprint
from tests.support.scrapes import read, total
from tools import running_service
from tools.load import Hammer
from tools.mlflow_server import MlflowServer, unique_name
from tools.running_service import RunningService

ALIAS = "champion"
STEADY, ODD, PLAIN = "steady", "größe @50% a?b#c&d=e+f", "plain"
"""Names in paths; the second has what a path has to escape, and what no header can hold."""
CLIENTS = 16


@dataclass
class Many:
    """A service with a file of models, and the registered models behind them."""

    server: MlflowServer
    service: RunningService
    file: Path
    registered: dict[str, str] = field(default_factory=dict)

    def table(self, name: str, registered: str = "", **settings: object) -> str:
        """Return the table of a model in the file."""
        uri = f"models:/{registered or self.registered[name]}@{ALIAS}"
        lines = [f"[models.{json.dumps(name, ensure_ascii=False)}]", f"uri = {json.dumps(uri)}"]
        lines += [f"{key} = {json.dumps(value)}" for key, value in settings.items()]
        return "\n".join(lines)

    def write(self, *tables: str) -> None:
        """Write the file as editors do: aside, and renamed."""
        aside = self.file.with_suffix(".new")
        aside.write_text("\n\n".join(tables) + "\n", encoding="utf-8")
        aside.replace(self.file)

    def write_all(self, *more: str, without: str = "") -> None:
        """Write what the file had at first, but for one, and more."""
        names = (name for name in (STEADY, ODD, PLAIN) if name != without)
        self.write(*map(self.table, names), *more)

    def names(self) -> list[str]:
        """Return what `/models` lists."""
        return [one["name"] for one in self.service.get("/models").json()["models"]]

    def health(self) -> dict[str, Any]:
        """Return the whole service's health."""
        answer: dict[str, Any] = self.service.get("/health").json()
        return answer

    def predict(self, name: str, a: float = 1.0) -> Any:
        """Ask a model for one row."""
        return self.service.post(path(name, "predict"), {"instances": [{"a": a}]})

    def info(self, name: str) -> dict[str, Any]:
        """Return what is known of a model."""
        answer: dict[str, Any] = self.service.get(path(name, "info")).raise_for_status().json()
        return answer

    def counted(self, name: str) -> float:
        """Return how many requests to version 1 of a model were answered, by `/metrics`."""
        seen = read(self.service.get("/metrics").raise_for_status().text)
        labels = (f"model={name}", "version=1", "outcome=ok")
        return total(seen, "hotswap_requests_total", *labels)

    def wait_serving(self, name: str, version: str) -> None:
        """Wait until a version serves under a name."""
        self.service.wait_until(
            lambda: self.service.get(path(name, "health")).json().get("model_version") == version,
            f"version {version} serves as {name}",
        )


def path(name: str, what: str) -> str:
    """Return the path of a call about a model."""
    return f"/models/{quote(name, safe='')}/{what}"


@pytest.fixture(scope="module")
def many(mlflow_server: MlflowServer, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Many]:
    """Serve three models, each with two versions of which the first is promoted."""
    folder = tmp_path_factory.mktemp("many")
    registered = {
        STEADY: unique_name("steady"),
        ODD: f"{ODD} {unique_name('odd')}",
        PLAIN: unique_name("plain"),
    }
    for number, name in enumerate(registered.values(), 1):
        mlflow_server.register_tiny(name, float(number))
        mlflow_server.register_tiny(name, 10.0 * number)
        mlflow_server.set_alias(name, ALIAS, 1)
    file = folder / "models.toml"
    # What is not the service's yet only writes the file.
    Many(mlflow_server, None, file, registered).write_all()  # type: ignore[arg-type]
    service = running_service.start(
        folder,
        mlflow_server.uri,
        models_file=file,
        ready_when="all",
        admin_open="true",
        keep_warm="false",
    )
    with footprint.ending_clean(service):
        yield Many(mlflow_server, service, file, registered)


@pytest.fixture(autouse=True)
def as_at_first(many: Many) -> Iterator[None]:
    """Have the three models again after each test, each with its first version."""
    yield
    many.write_all()
    for name, registered in many.registered.items():
        many.server.set_alias(registered, ALIAS, 1)
        many.service.wait_until(
            lambda: sorted(many.names()) == sorted(many.registered), "the three models"
        )
        many.wait_serving(name, "1")


def test_each_model_answers_under_its_name(many: Many) -> None:
    """Its prediction, its version, its label; whatever its name is made of."""
    for name, y in ((STEADY, 1.0), (ODD, 2.0), (PLAIN, 3.0)):
        answer = many.predict(name)
        assert answer.status_code == 200, answer.text
        assert answer.json() == {
            "predictions": [{"y": y}],
            "model_name": many.registered[name],
            "model_stage": f"@{ALIAS}",
            "model_version": "1",
        }
        # What the framework answers, not the short way.
        spelt = many.service.post(
            path(name, "predict"),
            b'{"instances": [{"a": 1.0}]}',
            headers={"content-type": "application/json; charset=utf-8"},
        )
        assert spelt.json() == answer.json()
        info = many.info(name)
        assert info["serving"]["version"] == "1"
        journal = many.service.get(path(name, "journal")).json()["promotions"]
        assert {told["name"] for told in journal} == {many.registered[name]}
        health = many.service.get(path(name, "health"))
        assert (health.status_code, health.json()["model_version"]) == (200, "1")


def test_the_list_and_health_name_all(many: Many) -> None:
    """In the order of the file."""
    assert many.names() == [STEADY, ODD, PLAIN]
    assert list(many.health()["models"]) == [STEADY, ODD, PLAIN]


@pytest.mark.parametrize("call", ["predict", "info", "journal", "health", "pin", "reload"])
def test_an_unknown_name_is_404_with_the_names(many: Many, call: str) -> None:
    """Whatever is asked of it, and by whichever way the request goes."""
    method = "POST" if call in {"predict", "pin", "reload"} else "GET"
    body = {"version": "1"} if call == "pin" else {"instances": [{"a": 1.0}]}
    arguments: dict[str, Any] = {"json": body} if method == "POST" else {}
    answer = many.service.client.request(method, path("nobody", call), **arguments)
    assert answer.status_code == 404, answer.text
    assert answer.json()["models"] == [STEADY, ODD, PLAIN]


@pytest.mark.parametrize("call", ["/predict", "/model/info", "/model/journal", "/reload-model"])
def test_without_a_default_a_call_without_a_name_is_404_with_the_names(
    many: Many, call: str
) -> None:
    """Several models, and none of them is the one that is meant."""
    method = "GET" if call.startswith("/model/") else "POST"
    arguments: dict[str, Any] = {"json": {"instances": [{"a": 1.0}]}} if method == "POST" else {}
    answer = many.service.client.request(method, call, **arguments)
    assert answer.status_code == 404, answer.text
    assert answer.json()["models"] == [STEADY, ODD, PLAIN]


def test_other_protocols_name_the_models_too(many: Many) -> None:
    """In the one sentence that their forms have, whichever path it is."""
    body = {"dataframe_records": [{"a": 1.0}]}
    for call in ("/invocations", path("nobody", "invocations"), "/endpoints/nobody/invocations"):
        answer = many.service.post(call, body)
        assert answer.status_code == 404
        assert answer.json()["error_code"] == "RESOURCE_DOES_NOT_EXIST"
        named = f"there are: {', '.join(map(repr, [STEADY, ODD, PLAIN]))}"
        assert answer.json()["message"].endswith(named)
    assert many.service.post(path(STEADY, "invocations"), body).status_code == 200
    answer = many.service.post("/v2/models/nobody/infer", {"inputs": []})
    assert (answer.status_code, list(answer.json())) == (404, ["error"])


def test_a_promotion_and_a_crash_of_one_lose_no_request_of_another(many: Many) -> None:
    """16 clients ask one model meanwhile, and see its one version alone."""
    with Hammer(many.service.url, CLIENTS, path=path(STEADY, "predict")) as hammer:
        many.server.set_alias(many.registered[PLAIN], ALIAS, 2)
        many.wait_serving(PLAIN, "2")
        for pid in many.info(PLAIN)["serving"]["pool"]["pids"]:
            psutil.Process(pid).kill()
        many.service.wait_until(lambda: many.predict(PLAIN).status_code == 200, "it is back")
    answers = hammer.all
    assert len(answers) > CLIENTS
    assert {(seen.status, seen.version) for seen in answers} == {(200, "1")}


def test_one_worker_stands_by_for_all_models(many: Many) -> None:
    """The model that is promoted next uses it, and then another one stands by for the others."""
    for name in (STEADY, PLAIN):
        standby = many.service.await_standby()
        many.server.set_alias(many.registered[name], ALIAS, 2)
        many.wait_serving(name, "2")
        assert many.info(name)["serving"]["pool"]["pids"] == [standby]


def test_a_pin_is_of_one_model(many: Many) -> None:
    """By the command, too; the others follow the registry."""
    hotswap = partial(many.service.hotswap, models_file=many.file)
    pinned = hotswap("pin", "2", "--model", ODD)
    assert (pinned.returncode, pinned.stdout) == (0, "version 2 is pinned and serves\n")
    assert many.predict(ODD).json()["predictions"] == [{"y": 20.0}]
    assert many.predict(STEADY).json()["model_version"] == "1"
    assert hotswap("unpin", "--model", ODD).returncode == 0
    assert many.predict(ODD).json()["predictions"] == [{"y": 2.0}]
    nobody = hotswap("unpin", "--model", "nobody")
    assert (nobody.returncode, nobody.stderr) == (1, "no model is served as 'nobody'\n")


def test_models_come_and_go_while_others_answer(many: Many) -> None:
    """And one registered model may stand under two names, each with a pin of its own."""
    with Hammer(many.service.url, CLIENTS, path=path(STEADY, "predict")) as hammer:
        many.write_all(many.table("twin", many.registered[PLAIN]))
        many.service.wait_until(
            lambda: many.predict("twin").status_code == 200, "the new one answers"
        )
        pin = many.service.post(path("twin", "pin"), {"version": "2"})
        assert pin.status_code == 200, pin.text
        assert many.predict("twin").json()["predictions"] == [{"y": 30.0}]
        assert many.predict(PLAIN).json()["predictions"] == [{"y": 3.0}]
        assert many.service.client.delete(path("twin", "pin")).status_code == 200
        gone = many.info(ODD)["serving"]["pool"]["pids"]
        assert many.predict(ODD).status_code == 200
        many.write_all(without=ODD)
        many.service.wait_until(lambda: many.predict(ODD).status_code == 404, "it is gone")
        many.service.wait_until(
            lambda: not any(map(psutil.pid_exists, gone)), "and so are its workers"
        )
        counted = many.counted(ODD)
        assert counted > 0
        many.write_all()
        many.wait_serving(ODD, "1")
        assert many.predict(ODD).status_code == 200
        assert many.counted(ODD) == counted + 1, "it counts on"
    assert {(seen.status, seen.version) for seen in hammer.all} == {(200, "1")}


def test_new_settings_come_into_force_without_a_failed_request(many: Many) -> None:
    """The version is opened anew beside the one that serves, and both count into one series."""
    before = many.counted(PLAIN)
    with Hammer(many.service.url, CLIENTS, path=path(PLAIN, "predict")) as hammer:
        changed = many.table(PLAIN, workers=2, max_batch_rows=7)
        many.write_all(changed, without=PLAIN)
        many.service.wait_until(
            lambda: many.info(PLAIN)["serving"]["pool"]["max_batch_rows"] == 7, "they are"
        )
        many.service.wait_until(
            lambda: many.info(PLAIN)["serving"]["pool"]["alive"] == 2, "with two workers"
        )
    assert {(seen.status, seen.version) for seen in hammer.all} == {(200, "1")}
    assert many.counted(PLAIN) - before == len(hammer.all)


@pytest.mark.parametrize(
    ("kind", "most_rows"), [("application/json", 9), ("application/json; charset=utf-8", 11)]
)
def test_a_body_that_takes_longer_than_a_change_of_settings_is_answered(
    many: Many, kind: str, most_rows: int
) -> None:
    """By the deployment that has the name when the body is there, whichever way it is read."""
    body = b'{"instances": [{"a": 1.0}]}'
    address = urlsplit(many.service.url)
    with socket.create_connection((str(address.hostname), address.port or 0), timeout=30) as slow:
        head = f"POST {path(PLAIN, 'predict')} HTTP/1.1\r\nhost: 127.0.0.1\r\n"
        head += f"content-type: {kind}\r\ncontent-length: {len(body)}\r\nconnection: close\r\n\r\n"
        slow.sendall(head.encode() + body[:5])
        before = many.info(PLAIN)["serving"]["pool"]["pids"]
        many.write_all(many.table(PLAIN, max_batch_rows=most_rows), without=PLAIN)
        many.service.wait_until(
            lambda: many.info(PLAIN)["serving"]["pool"]["max_batch_rows"] == most_rows,
            "it is changed",
        )
        many.service.wait_until(
            lambda: not any(map(psutil.pid_exists, before)), "the one before is gone"
        )
        slow.sendall(body[5:])
        answer = b"".join(iter(lambda: slow.recv(65_536), b""))
    assert answer.startswith(b"HTTP/1.1 200 "), answer
    assert b'"predictions":[{"y":3.0}]' in answer


def test_a_pointer_that_promotes_nothing_takes_no_place(many: Many) -> None:
    """What serves goes on, and health says what waits."""
    nowhere = many.table(PLAIN, many.registered[PLAIN]).replace(ALIAS, "nowhere")
    many.write_all(nowhere, without=PLAIN)
    many.service.wait_until(
        lambda: "nothing is promoted" in str(many.health()["models"][PLAIN].get("degraded")),
        "it is said",
    )
    assert many.predict(PLAIN).json()["predictions"] == [{"y": 3.0}]
    many.write_all()
    many.service.wait_until(
        lambda: "degraded" not in many.health()["models"][PLAIN], "it is as before"
    )


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        ("[models.x]\nuri = 'models:/x/Production'\nworker = 2", "worker is no setting"),
        ("[models.x]\nuri = 'nonsense'", "is no model URI"),
        ("[models", "is no TOML"),
        ("", "describes no model"),
    ],
)
def test_a_mistake_leaves_everything_as_it_is_and_is_said(
    many: Many, content: str, reason: str
) -> None:
    """In health and in the log, until it is put right."""
    many.write(content)
    many.service.wait_until(lambda: reason in str(many.health()["degraded"]), "it is said")
    assert many.service.get("/health").status_code == 200
    assert many.names() == [STEADY, ODD, PLAIN]
    assert any(reason in str(event.get("reason")) for event in many.service.events())
    many.write_all()
    many.service.wait_until(lambda: many.health()["degraded"] is None, "nothing is wrong")


@pytest.mark.skipif(sys.platform == "win32", reason="there is no such signal")
def test_sighup_reads_the_file_again_and_ends_nothing(many: Many) -> None:
    """Whether it has changed or not."""

    def times_read() -> int:
        return sum(one.get("event") == "MODELS_FILE was read" for one in many.service.events())

    before = times_read()
    many.service.process.send_signal(signal.SIGHUP)
    many.service.wait_until(lambda: times_read() > before, "it was read")
    assert many.predict(STEADY).status_code == 200


def test_health_is_red_while_one_of_all_cannot_answer(many: Many) -> None:
    """READY_WHEN=all; what can answer does."""
    absent = f"[models.absent]\nuri = 'models:/{unique_name('absent')}@x'"
    many.write_all(absent)
    many.service.wait_until(lambda: many.service.get("/health").status_code == 503, "it is red")
    health = many.health()
    assert health["error"].startswith("absent: ")
    assert health["models"][STEADY]["status"] == "healthy"
    assert many.service.get(path(STEADY, "health")).status_code == 200
    assert many.service.get(path("absent", "health")).status_code == 503
    assert many.predict(STEADY).status_code == 200
    assert many.predict("absent").status_code == 503


def test_the_short_form_has_a_default(
    mlflow_server: MlflowServer, many: Many, tmp_path: Path
) -> None:
    """`/predict` and the like are the default model's; health is about it alone."""
    one, absent = many.registered[STEADY], unique_name("absent")
    models = f"first=models:/{one}@{ALIAS}, second=models:/{absent}/Production"
    with running_service.start(
        tmp_path, mlflow_server.uri, models=models, default_model="first"
    ) as service:
        answer = service.predict({"a": 2.0}).json()
        assert (answer["predictions"], answer["model_name"]) == ([{"y": 2.0}], one)
        assert service.info()["model_name"] == one
        health = service.get("/health")
        assert (health.status_code, health.json()["model_version"]) == (200, "1")
        assert health.json()["models"]["second"]["status"] == "unhealthy"
        listed = service.get("/models").json()
        assert (listed["default"], len(listed["models"])) == ("first", 2)
