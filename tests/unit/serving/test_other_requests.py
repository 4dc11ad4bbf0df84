"""Requests of other protocols, and those without a body: what the data plane takes beside JSON."""

import asyncio
import json
import struct
from typing import Any

import numpy as np
import pytest

from service.codecs import catalog
from service.contracts.answer_size import is_wide
from service.contracts.contract import Call, Contract, Predictions
from service.core.errors import ContractViolationError, ModelFailedError
from service.core.protocols import WireProtocol
from service.serving.dataplane import TypedAnswer
from service.workers.inside.bodies import Bodies
from service.workers.messages import RawReply, RawRequest
from tests.support import tensors_codec
from tests.support.fake_models import CONTRACT
from tests.support.fake_workers import RAISING, FakeWorker, FakeWorkers, a_call
from tests.support.served_version import RAW_BODY_BYTES, VERSION, serving
from tests.support.tensors_codec import Tensors

NATIVE = WireProtocol.NATIVE
TENSORS = tensors_codec.NAME


class Buffering(FakeWorkers):
    """Workers whose answers are buffers, and which answer raw bodies as real ones do."""

    def __init__(self) -> None:
        workers = self

        class Worker(FakeWorker):
            async def predict(self, call: Call, timeout_s: float) -> Predictions:
                answer = await super().predict(call, timeout_s)
                return _buffered(answer)

            async def predict_raw(self, request: RawRequest, timeout_s: float) -> RawReply:
                del timeout_s
                workers.bodies.append(request.body)
                return Bodies(CONTRACT, _predict).answer(request)

        super().__init__(make=Worker)


def _buffered(answer: Predictions) -> Predictions:
    (column,) = answer.columns
    return Predictions(
        answer.rows, ["y"], [np.array(column).tobytes()], ["float64"], [[]], answer.non_finite
    )


def _predict(call: Call) -> Predictions:
    (column,) = call.columns
    numbers = np.frombuffer(bytes(column), "float64") + 0.5
    return Predictions(call.rows, ["y"], [numbers.tobytes()], ["float64"], [[]], [])


def tensors(*rows: object, **more: Any) -> bytes:
    """Return a body of the protocol that only tests know."""
    return json.dumps({"inputs": [{"name": "a", "data": rows}], **more}).encode()


@pytest.fixture(autouse=True)
def another_protocol(monkeypatch: pytest.MonkeyPatch) -> None:
    """Register a codec, and change nothing else."""
    monkeypatch.setitem(catalog.EVERYWHERE, TENSORS, Tensors)


async def test_a_protocol_is_a_codec_that_is_registered() -> None:
    """Small bodies are read here, large ones in a worker; what they ask for they get."""
    workers = Buffering()
    async with serving(workers) as (deployed, _):
        for rows in ([1.0, 2.0], [float(row) for row in range(RAW_BODY_BYTES)]):
            body = tensors(*rows, id="q", outputs=[{"name": "y"}])
            answer = await deployed.answer(body, TENSORS, TENSORS)
            assert json.loads(answer.body) == {
                "id": "q",
                "model_name": "größe",
                "model_version": "7",
                "outputs": [
                    {"name": "y", "datatype": "float64", "data": [row + 0.5 for row in rows]}
                ],
            }
            assert answer.rows == len(rows)
        with pytest.raises(ContractViolationError) as refused:
            await deployed.answer(tensors(1.0, "x"), TENSORS, TENSORS)
    assert (refused.value.path, refused.value.expected) == ("inputs[0].data[1]", "a number")
    assert len(workers.bodies) == 1


async def test_requests_of_several_protocols_share_a_batch() -> None:
    """Each is answered in its own, and knows the types of what it gets."""
    workers = Buffering()
    async with serving(workers) as (deployed, _):
        by_rows, by_tensors, typed = await asyncio.gather(
            deployed.answer(b'{"instances": [{"a": 1}]}'),
            deployed.answer(tensors(2.0), TENSORS, TENSORS),
            deployed.plane.infer(deployed, NATIVE, lambda _: a_call(3.0)),
        )
    assert workers.seen == [[1.0, 2.0, 3.0]]
    assert json.loads(by_rows.body)["predictions"] == [{"y": 1.5}]
    (output,) = json.loads(by_tensors.body)["outputs"]
    assert (output["datatype"], output["data"]) == ("float64", [2.5])
    assert typed.predictions.columns == [struct.pack("<d", 3.5)]


async def test_a_call_is_made_by_the_contract_that_answers_it_and_answered_by_columns() -> None:
    """Alone or in a batch; with the version that gave them."""
    made_by: list[Contract] = []

    def make(contract: Contract) -> Call:
        made_by.append(contract)
        return a_call(1.0, 2.0)

    async with serving(Buffering()) as (deployed, model):
        answer = await deployed.plane.infer(deployed, NATIVE, make)
        both = await asyncio.gather(
            deployed.plane.infer(deployed, NATIVE, lambda _: a_call(5.0)),
            deployed.plane.infer(deployed, NATIVE, lambda _: a_call(6.0)),
        )
    assert made_by == [CONTRACT]
    assert isinstance(answer, TypedAnswer)
    assert (answer.version, answer.names.model, answer.rows) == (VERSION, "größe", 2)
    assert answer.predictions.columns == [struct.pack("<2d", 1.5, 2.5)]
    assert [one.predictions.columns for one in both] == [
        [struct.pack("<d", 5.5)],
        [struct.pack("<d", 6.5)],
    ]
    assert model.answered == 3
    assert not is_wide(answer.predictions, 0, 2)


async def test_a_call_that_the_model_fails_is_told_with_what_it_was_made_of() -> None:
    """So that another version may be asked the same."""
    async with serving(FakeWorkers()) as (deployed, model):
        with pytest.raises(ModelFailedError) as raised:
            await deployed.plane.infer(deployed, NATIVE, lambda _: a_call(RAISING))
    assert raised.value.answered_by == VERSION
    assert (model.answered, model.failed) == (0, 1)
