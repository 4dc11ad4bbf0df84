"""Which way a body takes, and in which form it is answered."""

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import anyio
import pytest

from service.codecs.media import Media
from service.core.errors import ContractViolationError, ModelFailedError
from service.core.versions import ModelVersion, StoredVersion
from service.processes.child import ChildThreads
from service.serving.dataplane import DataPlane, Prediction
from service.serving.failed_request import FailedRequest
from service.serving.model import LoadedModel
from service.serving.proof import Proof
from service.serving.record import Known
from service.serving.routes import Routes
from service.workers.factory import WorkerFactory
from service.workers.messages import LoadReply, RawReply, RawRequest
from service.workers.pool import Pool
from tests.support.batchers import a_batcher
from tests.support.fake_models import BATCHING, CONTRACT, POOL
from tests.support.fake_workers import RAISING, FakeWorker, FakeWorkers

VERSION = ModelVersion("r", "größe", "7", "", "", 0)
RAW_BODY_BYTES = 200
ROWS = json.dumps({"instances": [{"a": 1.0}, {"a": 2.0}]}).encode()
COLUMNS = json.dumps({"columns": {"a": [3.0, 4.0]}}).encode()


class Recording(FakeWorkers):
    """Workers that keep the whole of each body's request."""

    def __init__(self) -> None:
        self.requests: list[RawRequest] = []
        recorded = self.requests

        class Keeping(FakeWorker):
            async def predict_raw(self, request: RawRequest, timeout_s: float) -> RawReply:
                recorded.append(request)
                return await super().predict_raw(request, timeout_s)

        super().__init__(make=Keeping)


class RoutesPlane:
    """A data plane that is asked for one deployment's versions alone."""

    def __init__(self, routes: Routes) -> None:
        self._plane = DataPlane(RAW_BODY_BYTES, max_body_bytes=1_000)
        self._routes = routes

    async def infer(self, *request: Any) -> Prediction:
        """Answer as the data plane does."""
        return await self._plane.infer(self._routes, *request)


@asynccontextmanager
async def serving(workers: FakeWorkers) -> AsyncIterator[tuple["RoutesPlane", LoadedModel]]:
    """Serve a version by these workers."""
    stored = StoredVersion(VERSION, Path("nowhere"), "")
    loaded = LoadReply(CONTRACT.signature, "", "", 0.0)
    pool = Pool(stored, WorkerFactory(ChildThreads()), POOL)
    model = LoadedModel(stored, CONTRACT, loaded, pool, BATCHING)
    batcher: Any = a_batcher(workers, BATCHING)
    model.batcher = batcher
    model.open_to_traffic(Proof(row_wise=True))
    routes = Routes()
    routes.swap(model)
    async with anyio.create_task_group() as host:
        host.start_soon(batcher.run)
        yield RoutesPlane(routes), model
        host.cancel_scope.cancel()


async def test_rows_and_columns_share_a_call_and_are_answered_in_their_own_form() -> None:
    """To the model they are the same."""
    workers = Recording()
    answers: dict[bytes, Prediction] = {}
    async with serving(workers) as (dataplane, model), anyio.create_task_group() as callers:

        async def ask(body: bytes) -> None:
            answers[body] = await dataplane.infer(body)

        callers.start_soon(ask, ROWS)
        callers.start_soon(ask, COLUMNS)
    assert workers.seen == [[1.0, 2.0, 3.0, 4.0]]
    assert json.loads(answers[ROWS].predictions) == [{"y": 1.5}, {"y": 2.5}]
    assert json.loads(answers[COLUMNS].predictions) == {"y": [3.5, 4.5]}
    assert {answer.kind for answer in answers.values()} == {Media.JSON}
    assert model.answered == 2


@pytest.mark.parametrize(
    ("body", "kind", "answer"),
    [
        (ROWS.ljust(RAW_BODY_BYTES + 1), Media.JSON, Media.JSON),
        (COLUMNS, Media.JSON, Media.ARROW),
        (b"a stream", Media.ARROW, Media.ARROW),
        (b"a stream", Media.ARROW, Media.JSON),
    ],
)
async def test_what_is_large_or_arrow_is_left_to_a_worker(
    body: bytes, kind: Media, answer: Media
) -> None:
    """Undecoded, with what it takes to answer it: kinds, a bound, and who answers."""
    workers = Recording()
    async with serving(workers) as (dataplane, _):
        prediction = await dataplane.infer(body, kind, answer)
    (request,) = workers.requests
    assert (request.body, request.kind, request.answer) == (body, kind, answer)
    assert request.max_decoded_bytes == 8_000
    assert request.metadata == {"hotswap.model_name": "größe", "hotswap.model_version": "7"}
    assert (prediction.predictions, prediction.kind) == (body, answer)
    assert prediction.version == VERSION


async def test_a_request_that_the_model_fails_is_told_with_its_body() -> None:
    """The caller has the error; who watches the version has the request and the error."""
    told: list[FailedRequest] = []

    class Watching:
        def failed(self, failed: FailedRequest) -> None:
            told.append(failed)

        def told(self) -> dict[str, Any]:
            return {}

    body = json.dumps({"instances": [{"a": RAISING}]}).encode()
    async with serving(FakeWorkers()) as (dataplane, model):
        model.trial = Watching()
        await dataplane.infer(ROWS)
        with pytest.raises(ModelFailedError) as caught:
            await dataplane.infer(body)
    (failed,) = told
    assert (failed.body, failed.kind, failed.answer) == (body, Media.JSON, Media.JSON)
    assert failed.error is caught.value
    assert (model.answered, model.failed) == (1, 1)
    assert model.known == Known(2, 1)


async def test_a_fault_names_the_version_and_does_not_speak_against_it() -> None:
    """The caller's body is wrong, not the model."""
    async with serving(Recording()) as (dataplane, model):
        with pytest.raises(ContractViolationError) as caught:
            await dataplane.infer(b'{"columns": {"a": [1, "x"]}}')
    assert caught.value.path == "columns.a[1]"
    assert caught.value.answered_by == VERSION
    assert (model.answered, model.failed) == (0, 0)
