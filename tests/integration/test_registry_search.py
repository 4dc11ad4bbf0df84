"""One search for many pointers, against a real server, and against what no server says.

A search never says more than a look at each pointer by name, and nothing else.
"""

import json
from collections.abc import Callable, Iterator
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest

from service.core.errors import SourceUnavailableError
from service.core.versions import ModelRef
from service.registry.inside.resolving import resolve
from service.registry.inside.searching import Searches
from service.registry.messages import ResolveReply, ResolveRequest, SearchReply, SearchRequest
from tests.support.stub_http import Answer, serving
from tools.mlflow_server import MlflowServer, free_port, unique_name

pytestmark = pytest.mark.usefixtures("registry_client_environment")

PRODUCTION, LATEST = "/Production", "/latest"
ODD_NAMES = [
    "team@churn",
    "a b'c\"d",
    "größe-模型",
    "a?b#c&d=e",
    "100%2F",
    "-- ;(x) OR",
    "back\\slash",
]


@pytest.fixture
def server(mlflow_server: MlflowServer, monkeypatch: pytest.MonkeyPatch) -> MlflowServer:
    """Give the real server, to which this process's MLflow points."""
    monkeypatch.setenv("MLFLOW_TRACKING_URI", mlflow_server.uri)
    return mlflow_server


class Pointers:
    """All pointers that a test follows, looked for as the service does: together, then by name."""

    def __init__(self, *uris: str) -> None:
        self.refs = tuple(ModelRef.parse(uri) for uri in uris)
        self.now_s = 0.0
        self.by_name: list[str] = []
        self.searches = Searches(self._ask, lambda: self.now_s)

    def _ask(self, request: ResolveRequest) -> ResolveReply:
        self.by_name.append(request.ref.uri)
        return resolve(request)

    def look(self) -> dict[str, str | None]:
        """Return the version's number of each pointer, after comparing with single looks."""
        self.by_name.clear()
        found = self.searches.search(SearchRequest(self.refs))
        assert found.refused == ""
        numbers: dict[str, str | None] = {}
        for ref, searched in zip(self.refs, found.replies, strict=True):
            reply = searched or self.searches.resolve(ResolveRequest(ref))
            assert reply.version == resolve(ResolveRequest(ref)).version
            numbers[ref.uri] = reply.version.version if reply.version else None
        return numbers


def registered(server: MlflowServer, versions: int = 3, stem: str = "model") -> str:
    """Register a model."""
    name = unique_name(stem)
    for _ in range(versions):
        server.register_tiny(name)
    return name


def test_every_kind_of_change_is_seen_by_the_next_search(server: MlflowServer) -> None:
    """Aliases, stages, new and deleted versions: what single looks say, and by few of them."""
    name, other = registered(server), registered(server)
    alias, stage, latest = (f"models:/{name}{end}" for end in ("@champion", PRODUCTION, LATEST))
    server.set_alias(other, "champion", 3)
    pointers = Pointers(alias, stage, latest, f"models:/{other}@champion")
    client = server.client
    steps: list[tuple[Callable[[], Any], tuple[str | None, str | None, str | None]]] = [
        (lambda: None, (None, None, "3")),
        (lambda: server.set_alias(name, "champion", 3), ("3", None, "3")),
        (lambda: server.set_alias(name, "champion", 1), ("1", None, "3")),
        (lambda: server.set_stage(name, 2), ("1", "2", "3")),
        (lambda: server.set_stage(name, 1), ("1", "1", "3")),
        (lambda: server.register_tiny(name), ("1", "1", "4")),
        (lambda: server.delete_version(name, 4), ("1", "1", "3")),
        (lambda: server.set_stage(name, 1, "Archived", archive=False), ("1", None, "3")),
        (lambda: server.delete_alias(name, "champion"), (None, None, "3")),
        (lambda: server.set_alias(name, "champion", 2), ("2", None, "3")),
        (lambda: server.delete_version(name, 2), (None, None, "3")),
        (lambda: client.rename_registered_model(name, f"{name}-away"), (None, None, None)),
        (lambda: client.rename_registered_model(f"{name}-away", name), (None, None, "3")),
        (lambda: server.delete_model(name), (None, None, None)),
        (lambda: server.register_tiny(name), (None, None, "1")),
        (lambda: server.set_alias(name, "champion", 1), ("1", None, "1")),
    ]
    for change, wanted in steps:
        change()
        numbers = pointers.look()
        assert tuple(numbers[uri] for uri in (alias, stage, latest)) == wanted
        assert numbers[f"models:/{other}@champion"] == "3"


def test_a_model_that_was_deleted_and_made_again_is_another_one(server: MlflowServer) -> None:
    """Its alias stands for the same number, and for another version, which is no head, either."""
    name = registered(server)
    pointers = Pointers(f"models:/{name}@champion")
    versions = []
    for _ in range(2):
        server.set_alias(name, "champion", 1)
        pointers.look()
        pointers.look()
        (found,) = pointers.searches.search(SearchRequest(pointers.refs)).replies
        assert found is not None
        versions.append(found.version)
        server.delete_model(name)
        for _ in range(2):
            server.register_tiny(name)
    assert versions[0] != versions[1]


def test_what_a_number_stands_for_is_asked_for_once(server: MlflowServer) -> None:
    """And again after a quarter of an hour, in case that somebody mended the registry by hand."""
    name = registered(server)
    server.set_alias(name, "champion", 1)
    uri = f"models:/{name}@champion"
    pointers = Pointers(uri)
    asked = []
    for now_s in (0, 1, 2, 901):
        pointers.now_s = now_s
        assert pointers.look() == {uri: "1"}
        asked.append(len(pointers.by_name))
    assert asked == [1, 0, 0, 1]


def test_names_of_any_characters_are_found(server: MlflowServer) -> None:
    """Those that no filter can hold are asked for by name."""
    names = [registered(server, 1, stem) for stem in ODD_NAMES]
    for name in names:
        server.set_alias(name, "champion", 1)
    pointers = Pointers(*(f"models:/{name}@champion" for name in names))
    assert set(pointers.look().values()) == {"1"}
    assert pointers.by_name == [f"models:/{names[at]}@champion" for at in (1, 6)]


def test_no_answer_is_an_outage_and_nothing_else(monkeypatch: pytest.MonkeyPatch) -> None:
    """Never an empty list of models."""
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"http://127.0.0.1:{free_port()}")
    pointers = Pointers("models:/m1@champion", "models:/m2@champion")
    with pytest.raises(SourceUnavailableError, match="refused"):
        pointers.searches.search(SearchRequest(pointers.refs))


# -- what a proxy, an older server or another registry may say ---------------------------------


def found(name: str, number: int, alias: str = "champion") -> dict[str, Any]:
    """Return a registered model as a search answers it."""
    version = {"name": name, "version": str(number), "status": "READY", "current_stage": "None"}
    return {
        "name": name,
        "creation_timestamp": 1,
        "latest_versions": [{**version, "source": "models:/m-1", "creation_timestamp": 2}],
        "aliases": [{"alias": alias, "version": str(number)}],
    }


@pytest.fixture
def answer(monkeypatch: pytest.MonkeyPatch) -> Iterator[Answer]:
    """Give what a server says, to which this process's MLflow points."""
    answer = Answer()
    with serving(answer) as uri:
        monkeypatch.setenv("MLFLOW_TRACKING_URI", uri)
        yield answer


def search(*names: str) -> SearchReply:
    """Search for the aliases of some models."""
    refs = tuple(ModelRef.for_alias(name, "champion") for name in names)
    return Searches().search(SearchRequest(refs))


def numbers(reply: SearchReply) -> list[str | None]:
    """Return what each pointer means, as far as that is known."""
    return [each.version.version if each and each.version else None for each in reply.replies]


def test_pages_are_read_until_all_are_found(answer: Answer) -> None:
    """However few models a server puts on one."""

    def page(path: str) -> tuple[int, bytes]:
        at = int(parse_qs(urlsplit(path).query).get("page_token", ["0"])[0])
        models = {"registered_models": [found(f"m{at}", at + 1)], "next_page_token": str(at + 1)}
        return 200, json.dumps(models).encode()

    answer.choose = page
    assert numbers(search("m0", "m1", "m2")) == ["1", "2", "3"]
    assert len(answer.seen) == 3


def test_pages_without_an_end_come_to_one(answer: Answer) -> None:
    """What is not on the first twenty is asked for by name."""
    models = {"registered_models": [found("stranger", 1)], "next_page_token": "more"}
    answer.body = json.dumps(models).encode()
    assert numbers(search("m0", "m1")) == [None, None]
    assert len(answer.seen) == 20


def test_what_is_filtered_out_says_nothing(answer: Answer) -> None:
    """Nor does the answer's last page, nor an empty one."""
    for models, wanted in (([found("m1", 5)], [None, "5"]), ([], [None, None])):
        answer.body = json.dumps({"registered_models": models}).encode()
        assert numbers(search("m0", "m1")) == wanted


@pytest.mark.parametrize(
    "change",
    [
        {"aliases": []},
        {"aliases": [{"alias": "champion", "version": "later"}]},
        {"aliases": [{"alias": "champion", "version": ""}]},
        {"latest_versions": []},
        {"latest_versions": [{**found("m0", 1)["latest_versions"][0], "name": "stranger"}]},
        {"latest_versions": [{**found("m0", 1)["latest_versions"][0], "status": "PENDING"}]},
        {"latest_versions": [{**found("m0", 1)["latest_versions"][0], "source": "x" * 5_000}]},
        {"name": "stranger"},
    ],
)
def test_what_is_not_as_it_should_be_says_nothing(
    answer: Answer, change: dict[str, object]
) -> None:
    """The look by name says what is wrong; the pointers beside it are not touched."""
    models = [{**found("m0", 1), **change}, found("m1", 2)]
    answer.body = json.dumps({"registered_models": models}).encode()
    assert numbers(search("m0", "m1")) == [None, "2"]


def test_a_server_that_knows_no_such_filter_refuses(answer: Answer) -> None:
    """As those before MLflow 3.9 do; it is no outage."""
    answer.status = 400
    said = {"error_code": "INVALID_PARAMETER_VALUE", "message": "Invalid comparator: IN"}
    answer.body = json.dumps(said).encode()
    reply = search("m0", "m1")
    assert reply.replies == (None, None)
    assert "Invalid comparator" in reply.refused


def test_unity_catalog_is_not_even_asked(answer: Answer, monkeypatch: pytest.MonkeyPatch) -> None:
    """It takes no filter."""
    monkeypatch.setenv("MLFLOW_REGISTRY_URI", "databricks-uc")
    assert search("main.models.m0").refused
    assert answer.seen == []


@pytest.mark.parametrize(
    ("status", "body"), [(200, b"<html>Please log in</html>"), (500, b"{}"), (403, b"{}")]
)
def test_other_answers_are_an_outage(answer: Answer, status: int, body: bytes) -> None:
    """A login page is not an empty list."""
    answer.status, answer.body = status, body
    with pytest.raises(SourceUnavailableError):
        search("m0", "m1")
