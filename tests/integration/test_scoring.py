"""MLflow's scoring protocol over HTTP: probes, paths, errors, and what a version answers for.

`tests/differential` compares with MLflow's own server what models answer.
"""

import json
import socket
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from importlib.metadata import version as installed
from pathlib import Path
from typing import Any
from urllib.parse import quote

import httpx
import pytest

from service.codecs.catalog import SCORING
from service.core.text import presentable
from tests.support import followed
from tests.support.followed import ALIAS
from tools import running_service
from tools.load import Hammer
from tools.mlflow_server import MlflowServer, unique_name
from tools.running_service import RunningService

CLIENTS = 8
MAX_BODY_BYTES = 2**20
APART_S = 0.15
"""A failure within a tenth of a second of another one is not weighed."""
ROLLED_BACK_WITHIN_S = 10 * 1.0
BAD_BODIES = (
    b"{",
    b"[1]",
    b"{}",
    b'{"instances": [{"b": 1}]}',
    b'{"inputs": {"a": "x", "do": 1}}',
    b'{"dataframe_records": [{"a": [], "do": {}}]}',
    b'{"dataframe_split": [1]}',
    b"\xff",
)
PATHS = ("models", "endpoints", "serving-endpoints")


@dataclass
class Scored:
    """A service of three models, of which `absent` promotes nothing."""

    service: RunningService
    server: MlflowServer
    tiny: str
    unruly: str

    def ask(self, body: object, name: str = "", **headers: str) -> httpx.Response:
        """Send a body, which is JSON unless it is bytes, to a model; without a name: `tiny`."""
        path = f"/models/{name}/invocations" if name else "/invocations"
        return self.service.post(path, body, headers=headers)

    def unruly_row(self, a: float, do: str = "") -> httpx.Response:
        """Ask the unruly one for a row."""
        return self.ask({"dataframe_records": [{"a": a, "do": do}]}, "unruly")

    def serving(self, name: str) -> dict[str, Any]:
        """Return how things stand for the version that serves."""
        told: dict[str, Any] = self.service.get(f"/models/{name}/info").json()["serving"]
        return told

    def wait_serving(self, name: str, version: int) -> None:
        """Wait until a version serves."""
        self.service.wait_until(
            lambda: self.serving(name)["version"] == str(version), f"{version} serves as {name}"
        )


@pytest.fixture(scope="module")
def scored(
    mlflow_server: MlflowServer, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Scored]:
    """Serve them; `unruly` has one worker and a short queue."""
    folder = tmp_path_factory.mktemp("scored")
    tiny = followed.register_tiny(mlflow_server, "scored", 2.0, 3.0)
    unruly = followed.register_unruly(mlflow_server, "scored-unruly", 2.0)
    mlflow_server.register_unruly(unruly, 5.0, limit=50.0)
    file = folder / "models.toml"
    file.write_text(
        f'[models.tiny]\nuri = "models:/{tiny}@{ALIAS}"\n'
        f'[models.unruly]\nuri = "models:/{unruly}@{ALIAS}"\nworkers = 1\nmax_queue_rows = 2\n'
        f"request_timeout_s = 2\nprobation_s = 600\n"
        f'[models.absent]\nuri = "models:/{unique_name("absent")}@{ALIAS}"\n',
        encoding="utf-8",
    )
    with running_service.start(
        folder,
        mlflow_server.uri,
        models_file=file,
        default_model="tiny",
        max_body_bytes=MAX_BODY_BYTES,
    ) as service:
        told = Scored(service, mlflow_server, tiny, unruly)
        told.service.wait_until(
            lambda: told.service.get("/models/unruly/health").status_code == 200, "unruly serves"
        )
        yield told


def error_code(answer: httpx.Response) -> str:
    """Return an error's name; its body has MLflow's form, and nothing that is not a caller's."""
    told = answer.json()
    assert set(told) == {"error_code", "message"}
    assert answer.headers["content-type"] == "application/json"
    assert "Traceback" not in told["message"]
    assert "site-packages" not in told["message"]
    return str(told["error_code"])


def test_ping_and_version_are_those_of_mlflows_server(scored: Scored) -> None:
    """An empty line, and the bare version of the MLflow beside the model, both called JSON."""
    ping, version = scored.service.get("/ping"), scored.service.get("/version")
    assert (ping.status_code, ping.text) == (200, "\n")
    assert (version.status_code, version.text) == (200, installed("mlflow"))
    kinds = {answer.headers["content-type"] for answer in (ping, version)}
    assert kinds == {"application/json"}


def test_ping_is_404_while_nothing_serves(scored: Scored, tmp_path: Path) -> None:
    """Which SageMaker reads as not ready; `/health` says why."""
    name = unique_name("nothing")
    with running_service.start(
        tmp_path, scored.server.uri, wait=False, model_uri=f"models:/{name}@{ALIAS}"
    ) as service:
        service.wait_until(lambda: service.get("/ping").status_code, "it listens")
        answer = service.get("/ping")
        assert (answer.status_code, answer.text) == (404, "\n")


def test_an_encoded_body_is_415(scored: Scored) -> None:
    """As plain text; MLflow's server would read its bytes as they are."""
    answer = scored.ask(b"{}", **{"content-encoding": "gzip"})
    assert answer.status_code == 415
    assert answer.headers["content-type"].startswith("text/plain")


def test_the_openapi_schema_describes_the_calls(scored: Scored) -> None:
    """The three kinds of body, each path, and every status that the tests here see."""
    document = scored.service.get("/schema/openapi.json").json()
    paths, answers = document["paths"], document["components"]["responses"]
    for path in ("/invocations", *(f"/{prefix}/tiny/invocations" for prefix in PATHS)):
        call = paths[path]["post"]
        assert set(call["requestBody"]["content"]) == set(SCORING.values())
        statuses = {"200", "400", "404", "413", "415", "500", "503", "504"}
        assert set(call["responses"]) >= statuses
        assert set(answers["Invocations415"]["content"]) == {"text/plain"}
        fault = answers["Invocations503"]["content"]["application/json"]["schema"]
        assert fault["$ref"].endswith("ScoringFault")
    assert set(paths["/ping"]["get"]["responses"]) == {"200", "404"}
    assert set(paths["/version"]["get"]["responses"]) == {"200", "403", "404", "503"}


def test_each_path_answers_the_same(scored: Scored) -> None:
    """By the version that its headers name: the body has no place for it."""
    body = {"dataframe_split": {"columns": ["a"], "data": [[1], [2.5]]}}
    answers = [scored.ask(body)]
    answers += [scored.service.post(f"/{path}/tiny/invocations", body) for path in PATHS]
    for answer in answers:
        assert answer.json() == {"predictions": [{"y": 2.0}, {"y": 5.0}]}
        assert answer.headers["x-model-version"] == "1"


@pytest.mark.parametrize("said", ["plain", "größe 1", "a\r\nx-evil: 1", '"; , %', "\x00\x7f"])
def test_what_the_body_calls_the_request_is_in_a_header(scored: Scored, said: str) -> None:
    """Quoted as in a URL, so that it may be anything."""
    answer = scored.ask({"instances": [{"a": 1.0}], "client_request_id": said})
    assert answer.status_code == 200
    assert "x-evil" not in answer.headers
    # What no terminal should get is written out before.
    assert answer.headers["x-client-request-id"] == quote(presentable(said))


def test_a_body_over_the_limit_is_413(scored: Scored) -> None:
    """In MLflow's form, with the setting's name."""
    answer = scored.ask(b'{"inputs": "' + b"x" * MAX_BODY_BYTES + b'"}')
    assert (answer.status_code, error_code(answer)) == (413, "BAD_REQUEST")
    assert "MAX_BODY_BYTES" in answer.json()["message"]


def test_an_unknown_model_is_404_with_the_names(scored: Scored) -> None:
    """In its sentence: MLflow's form has no other place."""
    answer = scored.ask({"instances": []}, "nobody")
    assert (answer.status_code, error_code(answer)) == (404, "RESOURCE_DOES_NOT_EXIST")
    assert "'nobody'" in answer.json()["message"]
    assert "'tiny', 'unruly', 'absent'" in answer.json()["message"]


def test_paths_and_methods_that_are_none_are_told_in_the_same_form(scored: Scored) -> None:
    """Under every path that a client of MLflow's may call, and no other one."""
    service = scored.service
    for path in ("/invocations", "/models/tiny/invocations", "/endpoints/tiny/invocations"):
        answer = service.get(path)
        assert (answer.status_code, error_code(answer)) == (405, "BAD_REQUEST"), path
        assert "POST" in answer.headers["allow"]
    for path in ("/ping", "/version"):
        assert error_code(service.post(path)) == "BAD_REQUEST"
    for path in ("/endpoints/tiny/nothing", "/serving-endpoints/tiny", "/a/b/c/invocations"):
        answer = service.post(path, {"instances": []})
        assert (answer.status_code, error_code(answer)) == (404, "RESOURCE_DOES_NOT_EXIST"), path
    assert service.get("/predict").json()["title"] == "Method Not Allowed"


def test_a_model_without_a_version_is_503(scored: Scored) -> None:
    """Which MLflow's clients try again."""
    answer = scored.ask({"instances": []}, "absent")
    assert (answer.status_code, error_code(answer)) == (503, "TEMPORARILY_UNAVAILABLE")
    assert answer.headers["retry-after"] == "1"


def test_a_model_that_raises_is_400_as_from_mlflow(scored: Scored) -> None:
    """With what it said, and without a traceback."""
    answer = scored.unruly_row(1, "raise")
    assert (answer.status_code, error_code(answer)) == (400, "BAD_REQUEST")
    assert "ValueError: told to raise" in answer.json()["message"]


def test_a_request_that_takes_too_long_is_504(scored: Scored) -> None:
    """And the next one is answered."""
    answer = scored.unruly_row(1, "sleep:60")
    assert (answer.status_code, error_code(answer)) == (504, "DEADLINE_EXCEEDED")
    scored.service.wait_until(lambda: scored.unruly_row(1).status_code == 200, "it answers")


def test_a_request_that_ends_its_worker_is_500(scored: Scored) -> None:
    """And the next one is answered by another."""
    answer = scored.unruly_row(1, "exit")
    assert (answer.status_code, error_code(answer)) == (500, "INTERNAL_ERROR")
    scored.service.wait_until(lambda: scored.unruly_row(1).status_code == 200, "it answers")


def test_what_is_too_much_is_refused_before_its_body_comes(scored: Scored) -> None:
    """With 503, and when to come again."""
    with ThreadPoolExecutor(12) as callers:
        slow = [callers.submit(scored.unruly_row, 1, "sleep:1") for _ in range(12)]
        refused = b""
        while not refused and not all(one.done() for one in slow):
            refused = _status_without_a_body(scored.service)
        statuses = {one.result().status_code for one in slow}
    assert refused.startswith(b"HTTP/1.1 503 ")
    head, _, body = refused.partition(b"\r\n\r\n")
    assert b"retry-after: " in head.lower()
    assert json.loads(body)["error_code"] == "TEMPORARILY_UNAVAILABLE"
    assert statuses <= {200, 503, 504}
    scored.service.wait_until(lambda: scored.unruly_row(1).status_code == 200, "it answers")


def _status_without_a_body(service: RunningService) -> bytes:
    """Send a head alone; return the answer to it, nothing where the body is waited for."""
    host, port = "127.0.0.1", int(service.url.rpartition(":")[2])
    head = "POST /models/unruly/invocations HTTP/1.1\r\nhost: 127.0.0.1\r\n"
    head += "content-type: application/json\r\ncontent-length: 900000\r\n\r\n"
    with socket.create_connection((host, port), timeout=10) as caller:
        caller.sendall(head.encode())
        caller.settimeout(0.1)
        got = b""
        try:
            while b"}" not in got and (more := caller.recv(65_536)):
                got += more
        except TimeoutError:
            pass
    return got


def test_a_promotion_while_clients_ask_loses_and_mixes_nothing(scored: Scored) -> None:
    """Each answer names one version and is that one's."""
    with Hammer(scored.service.url, CLIENTS, path="/invocations") as hammer:
        for version in (2, 1):
            scored.server.set_alias(scored.tiny, ALIAS, version)
            scored.service.wait_until(
                partial(_all_see, hammer, str(version)), f"all clients see version {version}"
            )
    assert hammer.failed == []
    assert hammer.mixed({"1": 2.0, "2": 3.0}) == []
    assert all(changes[-2:] == ["2", "1"] for changes in hammer.changes())


def _all_see(hammer: Hammer, version: str) -> bool:
    return all(seen and seen[-1].version == version for seen in hammer.seen)


def test_only_what_the_version_itself_fails_counts_against_it(scored: Scored) -> None:
    """Bodies that MLflow refuses say nothing of it; those that it raises for roll it back."""
    scored.server.set_alias(scored.unruly, ALIAS, 2)
    scored.wait_serving("unruly", 2)
    for body in BAD_BODIES * 2:
        assert scored.ask(body, "unruly").status_code == 400
    stands = scored.serving("unruly")
    assert stands["version"] == "2"
    assert stands["failed"] == 0
    assert (stands["probation"]["failures"], stands["probation"]["excused"]) == (0, 0)
    # The version before is asked the same, and raises as well.
    assert scored.unruly_row(1, "raise").status_code == 400
    scored.service.wait_until(
        lambda: scored.serving("unruly")["probation"]["excused"] == 1, "it is excused"
    )
    assert scored.serving("unruly")["probation"]["failures"] == 0
    begun_s, number = time.monotonic(), 60
    while scored.serving("unruly")["version"] == "2":
        assert time.monotonic() - begun_s < ROLLED_BACK_WITHIN_S
        answer = scored.unruly_row(number)
        assert answer.status_code in {200, 400}
        number += 1
        time.sleep(APART_S)
    assert scored.unruly_row(60).status_code == 200
    last = scored.service.get("/models/unruly/info").json()["promotions"][0]
    assert (last["version"], last["outcome"]) == ("2", "rolled back")
