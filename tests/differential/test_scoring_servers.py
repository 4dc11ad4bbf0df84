"""`mlflow models serve` and this service, over HTTP: what they answer to the same requests.

Each kind of model has a server of its own, two of them at a time, beside one service that serves
all of them. With HOTSWAP_LONG_FAULTS=1 each gets no body less than `test_scoring_code.py` has, and
many documents of Hypothesis'.
"""

import json
import os
import warnings
from collections.abc import Iterator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import Any, NamedTuple

import httpx
import numpy as np
import pytest

with warnings.catch_warnings():
    warnings.simplefilter("ignore")  # MLflow's own, at import
    from tests.support.kinds.every import KINDS

from tests.support.scoring_bodies import CSV, JSON, Body, all_bodies, as_json
from tests.support.scoring_documents import column_names, some_documents
from tests.support.scoring_servers import mlflow_models_serve
from tools import running_service
from tools.mlflow_server import MlflowServer, unique_name
from tools.running_service import RunningService

LONG = os.environ.get("HOTSWAP_LONG_FAULTS") == "1"
DOCUMENTS = 200 if LONG else 20
"""So many of Hypothesis' for each kind."""
ASKED = {
    "forest": "fitted forest of two outputs",
    "labels": "fitted forest of labels",
    "tensor": "given a tensor of floats",
    "hinted": "typed items",
    "params": "given parameters",
    "nullable": "given optional boolean",
    "datetime": "given datetime",
    "binary": "given binary",
    "arrays": "given lists of objects",
    "chat": "typed chat",
}
"""Kinds by the names that they have in the service."""
LEFT_OUT = ("1.9", "300", "-1", "True", "[]", "{}", "'x'", "columns in another order")
"""Bodies that differ little from others: `test_scoring_code.py` has them."""
OF_FOREST = (
    Body("no content type", "", b'{"instances": []}'),
    Body("another content type", "text/plain", b"{}"),
    Body("capitals in the content type", "Application/JSON", b"{}"),
    Body("a quoted charset", 'application/json; charset="utf-8"', b"{}"),
    Body("a semicolon at the end", "application/json;", b"{}"),
    Body("another charset", "application/json; charset=latin-1", b"{}"),
    Body("another parameter", "application/json; format=pandas-split", b"{}"),
    Body("a charset", "application/json; charset=UTF-8", b"[]"),
    Body("CSV with a charset", "text/csv; charset=utf-8", b""),
)
"""Requests whose answer has to do with no model, which one kind gets."""


_BEGINNING = 36
"""Characters of a plain text that are compared."""


class Deviation(NamedTuple):
    """A request that is answered otherwise than MLflow's server answers it."""

    theirs: int
    ours: int
    why: str


_ANY = "any document"
_FAILS = "MLflow's server fails over what a caller sent"
DEVIATIONS: Mapping[str, Deviation] = {
    "very deep": Deviation(500, 400, _FAILS),
    "a very long number": Deviation(500, 400, _FAILS),
    "no content type": Deviation(500, 415, _FAILS),
    "capitals in the content type": Deviation(415, 400, "case has no meaning there (RFC 9110)"),
    "a quoted charset": Deviation(415, 400, "a parameter may be quoted (RFC 9110)"),
    "a semicolon at the end": Deviation(415, 400, "RFC 9110 lets a reader take it"),
}
"""By the names of bodies; docs/protocols.md has them, too."""


class Seen(NamedTuple):
    """What an answer says: its value, or its error's code."""

    status: int
    media: str
    said: Any


def seen(answer: httpx.Response) -> Seen:
    """Read an answer of either."""
    media = answer.headers.get("content-type", "").partition(";")[0]
    if media != JSON:
        # MLflow's sentence on parameters goes on with advice for clients of its first release.
        return Seen(answer.status_code, media, answer.text[:_BEGINNING])
    read = answer.json()
    if answer.status_code != httpx.codes.OK:
        return Seen(answer.status_code, media, read["error_code"])
    # NaN is no NaN's equal, but written the same.
    return Seen(answer.status_code, media, json.dumps(read))


def fails_over(theirs: Seen, ours: Seen) -> bool:
    """Tell whether MLflow's server fails over what a caller sent, and ours refuses it."""
    return theirs.status == 500 and (ours.status, ours.said) == (400, "BAD_REQUEST")


def ask(client: httpx.Client, path: str, bodies: list[Body]) -> dict[str, httpx.Response]:
    """Send each body; return the answers by the bodies' names."""
    return {
        body.name: client.post(
            path,
            content=body.content,
            headers={"content-type": body.kind} if body.kind else {},
        )
        for body in bodies
    }


def bodies_of(name: str) -> list[Body]:
    """Return what a kind is asked over HTTP."""
    kind = KINDS[ASKED[name]]
    rows = kind.rows(np.random.default_rng(1), 3)
    made = all_bodies(rows, kind.params[-1] if kind.params else None)
    chosen = [body for body in made if LONG or not body.name.startswith(LEFT_OUT)]
    documents = some_documents(column_names(rows[0]), DOCUMENTS)
    chosen += [as_json(f"{_ANY} {index}", one) for index, one in enumerate(documents)]
    return [*chosen, *OF_FOREST] if name == "forest" else chosen


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Save a model of each kind."""
    folder = tmp_path_factory.mktemp("kinds")
    saved = {name: folder / name for name in ASKED}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # MLflow's, of signatures
        for name, path in saved.items():
            KINDS[ASKED[name]].save(path)
    return saved


@pytest.fixture(scope="module")
def theirs(
    models: dict[str, Path], tmp_path_factory: pytest.TempPathFactory
) -> Iterator[dict[str, Future[dict[str, httpx.Response]]]]:
    """Have each model's own server asked, two of them at a time."""
    folder = tmp_path_factory.mktemp("servers")

    def answers_of(name: str) -> dict[str, httpx.Response]:
        with mlflow_models_serve(models[name], folder) as client:
            return ask(client, "/invocations", bodies_of(name))

    with ThreadPoolExecutor(2) as two:
        yield {name: two.submit(answers_of, name) for name in models}


@pytest.fixture(scope="module")
def service(
    mlflow_server: MlflowServer,
    models: dict[str, Path],
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[RunningService]:
    """Serve all of them in one service."""
    pointers = []
    with mlflow_server.active() as mlflow, mlflow.start_run() as run:
        for name, path in models.items():
            mlflow.log_artifacts(str(path), name)
            registered = unique_name(name)
            mlflow_server.register_source(
                registered, f"runs:/{run.info.run_id}/{name}", run.info.run_id
            )
            pointers.append(f"{name}=models:/{registered}/1")
    with running_service.start(
        tmp_path_factory.mktemp("service"),
        mlflow_server.uri,
        models=",".join(pointers),
        ready_when="all",
        workers=1,
        compiled="off",
        rows_out="any",
    ) as running:
        yield running


@pytest.mark.parametrize("name", ASKED)
def test_each_request_is_answered_as_mlflow_models_serve_answers_it(
    name: str,
    theirs: dict[str, Future[dict[str, httpx.Response]]],
    service: RunningService,
) -> None:
    """By status, content type, value and error code; but for the listed ones, which must differ."""
    bodies = bodies_of(name)
    ours = ask(service.client, f"/models/{name}/invocations", bodies)
    expected = theirs[name].result()
    pairs = {body.name: (seen(expected[body.name]), seen(ours[body.name])) for body in bodies}
    differ = {
        body: (a, b)
        for body, (a, b) in pairs.items()
        if a != b and not (body.startswith(_ANY) and fails_over(a, b))
    }
    listed = {
        body.name: (one.theirs, one.ours)
        for body in bodies
        if (one := DEVIATIONS.get(body.name)) is not None
    }
    found = {body: (a.status, b.status) for body, (a, b) in differ.items()}
    assert found == listed, {body: pair for body, pair in differ.items() if body not in listed}
    assert sum(answer.status_code == httpx.codes.OK for answer in ours.values()) >= 1
    # Whatever was refused, the version serves on, and is named by each answer of its own.
    assert {a.headers["x-model-version"] for a in ours.values() if a.status_code < 415} == {"1"}


def test_the_requests_are_many_and_every_deviation_is_asked_for() -> None:
    """A name in the list of deviations that no request has is none."""
    asked = [body for name in ASKED for body in bodies_of(name)]
    assert len(ASKED) >= 10
    assert len(asked) > 750, len(asked)
    assert set(DEVIATIONS) <= {body.name for body in asked}
    assert {body.kind for body in asked} > {JSON, CSV}


def test_a_body_that_goes_to_the_worker_in_chunks_is_answered(service: RunningService) -> None:
    """A megabyte of rows, as any small body."""
    rows = KINDS[ASKED["forest"]].rows(np.random.default_rng(1), 1) * 10_000
    body = as_json("large", {"dataframe_records": rows})
    assert len(body.content) > 500_000
    answer = ask(service.client, "/models/forest/invocations", [body])["large"]
    assert answer.status_code == httpx.codes.OK, answer.text[:500]
    assert len(answer.json()["predictions"]) == 10_000
