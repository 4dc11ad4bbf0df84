"""The page of a live service: what it says, what it is told live, and that it holds up no end."""

import json
import re
import time
from collections.abc import Iterator
from typing import Any, NamedTuple

import httpx
import pytest

from tests.support.followed import ALIAS, pointer, register_unruly
from tools import running_service
from tools.mlflow_server import MlflowServer
from tools.running_service import RunningService

LIMIT_S = 60.0
SHOWN_WITHIN_S = 2.0


class Looked(NamedTuple):
    """A service, its model with three versions, of which the last can't be loaded."""

    service: RunningService
    name: str
    server: MlflowServer

    @property
    def path(self) -> str:
        """Where the model's page is."""
        return f"/ui/{self.name}"


@pytest.fixture(scope="module")
def looked(
    mlflow_server: MlflowServer, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Looked]:
    """Serve version 1."""
    name = register_unruly(mlflow_server, "looked", 1.0, 2.0)
    mlflow_server.register_unruly(name, on_load="raise")
    folder = tmp_path_factory.mktemp("looked")
    with running_service.start(
        folder, mlflow_server.uri, model_uri=pointer(name), poll_interval_s=0.2
    ) as service:
        yield Looked(service, name, mlflow_server)


def test_the_pages_say_what_serves(looked: Looked) -> None:
    """Whole before any script runs; HEAD has the same headers and no body."""
    for path in ("/", "/ui", looked.path):
        page = looked.service.get(path)
        assert page.status_code == 200
        assert page.headers["content-type"] == "text/html; charset=utf-8"
        assert page.headers["cache-control"] == "no-store"
        assert looked.name in page.text
        assert 'data-stands="serving"' in page.text
        head = looked.service.client.head(path)
        assert (head.status_code, head.content) == (200, b"")
        policy = page.headers["content-security-policy"]
        assert "default-src 'none'" in policy
        assert "unsafe" not in policy
    page = looked.service.get(looked.path)
    assert f"{looked.server.uri}/#/models/{looked.name}/versions/1" in page.text
    assert 'data-field="a"' in page.text


def test_a_page_that_there_is_not_says_so_in_html(looked: Looked) -> None:
    """With the way to those that there are, under the same policy."""
    page = looked.service.get("/ui/%3Cscript%3E")
    assert page.status_code == 404
    assert page.headers["content-type"].startswith("text/html")
    assert "default-src 'none'" in page.headers["content-security-policy"]
    assert '<a href="/">All models</a>' in page.text
    assert "<script>" not in page.text.replace("<script src", "")


def test_its_files_are_kept_until_they_change(looked: Looked) -> None:
    """Under their own folder for ever, under another one's only while they are the same."""
    page = looked.service.get(looked.path).text
    files = set(re.findall(r'(?:href|src)="(/ui/:files/[^"]+)"', page))
    assert {path.rpartition("/")[2] for path in files} > {"page.css", "uPlot.iife.min.js"}
    for path in files:
        file = looked.service.get(path).raise_for_status()
        assert "immutable" in file.headers["cache-control"]
        etag = {"if-none-match": file.headers["etag"]}
        assert looked.service.client.get(path, headers=etag).status_code == 304
        older = re.sub(r":files/\w+/", ":files/0/", path)
        assert looked.service.get(older).headers["cache-control"] == "no-cache"
    loaded = looked.service.get(path.rpartition("/")[0] + "/model.js").text
    for script in re.findall(r'from "\./(\S+)"', loaded):
        looked.service.get(f"{path.rpartition('/')[0]}/{script}").raise_for_status()
    for name in ("..%2F__init__.py", "uPlot.LICENSE", "nothing.js"):
        assert looked.service.get(f"{path.rpartition('/')[0]}/{name}").status_code == 404


class Events:
    """The events of a stream, one after another."""

    def __init__(self, answer: httpx.Response) -> None:
        self._lines = answer.iter_lines()

    def until(self, kind: str, *texts: str) -> Any:
        """Return the data of the next event of a kind that has these texts in it."""
        ends_s = time.monotonic() + LIMIT_S
        now = ""
        for line in self._lines:
            assert time.monotonic() < ends_s, (kind, texts)
            if line.startswith("event: "):
                now = line.removeprefix("event: ")
            if line.startswith("data: ") and now == kind and all(text in line for text in texts):
                return json.loads(line.removeprefix("data: "))
        raise AssertionError(f"it ended before {kind} {texts}")

    def rest(self) -> None:
        """Read to the end."""
        for _ in self._lines:
            pass


def test_a_promotion_and_a_refusal_show_on_an_open_page(looked: Looked) -> None:
    """Within two seconds; a stream is taken up where it was left; and holds up no end."""
    service, server = looked.service, looked.server
    # Of its own: that of the service is closed with it.
    client = httpx.Client(base_url=service.url, timeout=LIMIT_S, trust_env=False)
    with client, client.stream("GET", f"{looked.path}/events") as answer:
        assert answer.headers["content-type"].startswith("text/event-stream")
        events = Events(answer)
        events.until("history")
        server.set_alias(looked.name, ALIAS, 2)
        service.wait_serving(2)
        served_s = time.monotonic()
        part = events.until("part", '"serving"', 'id=\\"version\\">2<')
        assert time.monotonic() - served_s < SHOWN_WITHIN_S
        assert 'data-stands="serving"' in part["html"]
        mark = events.until("marks", '"version":"2","mark":"good"')
        assert abs(mark[0]["at_s"] - time.time()) < LIMIT_S
        points = events.until("points")
        assert points[-1][1] > 0
        server.set_alias(looked.name, ALIAS, 3)
        story = events.until("part", '"story"', 'data-gate=\\"load\\" data-outcome=\\"refuse\\"')
        assert 'data-version="3" data-outcome="refused"' in story["html"]
        with client.stream("GET", "/ui/:events") as list_answer:
            models = Events(list_answer)
            models.until("part", 'data-stands=\\"degraded\\"')
            began_s = time.monotonic()
            service.stop()
            assert time.monotonic() - began_s < 10
            events.rest()
            models.rest()
