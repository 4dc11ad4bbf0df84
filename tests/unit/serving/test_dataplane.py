"""Which way a body takes, and in which form it is answered."""

import json
from typing import Any

import anyio
import pytest

from service.codecs.catalog import ARROW, SCORING_JSON
from service.codecs.catalog import ROWS_AND_COLUMNS as JSON
from service.codecs.codec import AnswerForm
from service.core.errors import ContractViolationError, ModelFailedError
from service.core.version_names import VersionNames
from service.serving.dataplane import EncodedAnswer
from service.serving.failed_request import FailedRequest
from service.serving.interface import EncodedRequest
from service.serving.record import Known
from service.workers.messages import RawReply, RawRequest
from tests.support.fake_workers import RAISING, FakeWorker, FakeWorkers
from tests.support.served_version import RAW_BODY_BYTES, VERSION, serving

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


async def test_rows_and_columns_share_a_call_and_are_answered_in_their_own_form() -> None:
    """To the model they are the same."""
    workers = Recording()
    answers: dict[bytes, EncodedAnswer] = {}
    async with serving(workers) as (deployed, model), anyio.create_task_group() as callers:

        async def ask(body: bytes) -> None:
            answers[body] = await deployed.answer(body)

        callers.start_soon(ask, ROWS)
        callers.start_soon(ask, COLUMNS)
    assert workers.seen == [[1.0, 2.0, 3.0, 4.0]]
    assert json.loads(answers[ROWS].body)["predictions"] == [{"y": 1.5}, {"y": 2.5}]
    assert json.loads(answers[COLUMNS].body)["predictions"] == {"y": [3.5, 4.5]}
    assert [answer.rows for answer in answers.values()] == [2, 2]
    assert model.answered == 2


@pytest.mark.parametrize(
    ("body", "codec", "answer"),
    [
        (ROWS.ljust(RAW_BODY_BYTES + 1), JSON, JSON),
        (COLUMNS, JSON, ARROW),
        (b"a stream", ARROW, ARROW),
        (b"a stream", ARROW, JSON),
    ],
)
async def test_what_is_large_or_arrow_is_left_to_a_worker(
    body: bytes, codec: str, answer: str
) -> None:
    """Undecoded, with what it takes to answer it: kinds, a bound, and which version answers."""
    workers = Recording()
    async with serving(workers) as (deployed, _):
        prediction = await deployed.answer(body, codec, answer)
    (request,) = workers.requests
    assert (request.body, request.codec, request.answer) == (body, codec, answer)
    assert request.max_decoded_bytes == 8_000
    assert request.names == prediction.names == VersionNames("größe", "7", "@champion")
    assert prediction.body == body
    assert prediction.version == VERSION


async def test_a_request_that_the_model_fails_is_told_with_its_body() -> None:
    """The caller has the error; its watcher has the request and the error."""
    told: list[FailedRequest] = []

    class Watching:
        def failed(self, failed: FailedRequest) -> None:
            told.append(failed)

        def told(self) -> dict[str, Any]:
            return {}

    body = json.dumps({"instances": [{"a": RAISING}]}).encode()
    async with serving(FakeWorkers()) as (deployed, model):
        model.trial = Watching()
        await deployed.answer(ROWS)
        with pytest.raises(ModelFailedError) as caught:
            await deployed.answer(body)
    (failed,) = told
    assert failed.request == EncodedRequest(body)
    assert failed.error is caught.value
    assert (model.answered, model.failed) == (1, 1)
    assert model.known == Known(2, 1)


async def test_a_fault_names_the_version_and_does_not_speak_against_it() -> None:
    """The caller's body is wrong, not the model."""
    async with serving(Recording()) as (deployed, model):
        with pytest.raises(ContractViolationError) as caught:
            await deployed.answer(b'{"columns": {"a": [1, "x"]}}')
    assert caught.value.path == "columns.a[1]"
    assert caught.value.answered_by == VERSION
    assert (model.answered, model.failed) == (0, 0)


@pytest.mark.parametrize("instance", [{"a": 1.0}, {"a": None}, {"a": RAISING}])
async def test_mlflows_protocol_is_answered_by_mlflow_where_a_call_is_not_certain(
    instance: dict[str, Any],
) -> None:
    """A plain body is a call; any other, and one that the call fails, goes to MLflow's own code."""
    workers = Recording()
    body = json.dumps({"instances": [instance]}).encode()
    async with serving(workers) as (deployed, model):
        model.interface = model.interface.scored_as(AnswerForm.VALUES)
        answer = await deployed.answer(body, SCORING_JSON, SCORING_JSON)
    if instance == {"a": 1.0}:
        assert (answer.body, workers.requests) == (b'{"predictions":[1.5]}', [])
        return
    (request,) = workers.requests
    assert (request.codec, request.body, answer.body) == (SCORING_JSON, body, body)
    assert not request.wants_form, "it is known already"
    assert (model.answered, model.failed) == (1, 0)


async def test_without_a_proof_of_its_form_all_of_mlflows_protocol_is_mlflows() -> None:
    """Of a version whose answers may be of any type it is not known how MLflow writes them."""
    workers = Recording()
    body = b'{"instances":[{"a":1.0}]}'
    async with serving(workers) as (deployed, _):
        await deployed.answer(body, SCORING_JSON, SCORING_JSON)
    assert [request.codec for request in workers.requests] == [SCORING_JSON]
    assert [request.wants_form for request in workers.requests] == [True]


async def test_plain_bodies_are_calls_once_a_worker_has_told_how_mlflow_writes_answers() -> None:
    """It finds that out with the first body of this protocol."""
    asked: list[bytes] = []

    class Telling(FakeWorker):
        async def predict_raw(self, request: RawRequest, timeout_s: float) -> RawReply:
            del timeout_s
            asked.append(request.body)
            return RawReply(1, b"first", None, scored_as=AnswerForm.VALUES)

    body = b'{"instances":[{"a":1.0}]}'
    async with serving(FakeWorkers(make=Telling)) as (deployed, _):
        answers = [await deployed.answer(body, SCORING_JSON, SCORING_JSON) for _ in range(2)]
    assert [answer.body for answer in answers] == [b"first", b'{"predictions":[1.5]}']
    assert asked == [body]
