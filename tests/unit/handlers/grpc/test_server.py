"""Calls over gRPC in front of a version without processes, on each event loop."""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Callable
from typing import Any

import grpc
import pytest
import structlog
from grpc_health.v1 import health_pb2

from service.core.protocols import WireProtocol
from service.handlers.grpc.open_inference_pb2 import ModelInferRequest
from service.serving.batching.batcher import BatchSettings
from service.telemetry.access_log import AccessLog
from tests.support.fake_workers import HANGING, KILLING, RAISING, FakeWorkers
from tests.support.grpc_caller import SERVICE
from tests.support.grpc_deployments import MODEL, grpc_serving
from tests.support.inference_messages import answered, request
from tests.support.served_version import VERSION, serving
from tests.support.waiting import until as until_within

INFER = f"/{SERVICE}/ModelInfer"
LIMIT_S = 10.0
TOGETHER = 1_800
on_each_loop = pytest.mark.loops("asyncio", "uvloop")


def a_request(*rows: float, **more: Any) -> bytes:
    """Return a request for these rows."""
    return request({"a": rows}, raw=True, model_name=MODEL, **more)


async def until(condition: Callable[[], bool]) -> None:
    """Wait for a state."""
    await until_within(condition, LIMIT_S)


async def status_of(call: Any) -> tuple[grpc.StatusCode, str]:
    """Return how a call ended that failed."""
    with pytest.raises(grpc.aio.AioRpcError) as raised:
        await call
    return raised.value.code(), raised.value.details()


@on_each_loop
async def test_calls_are_answered_and_merged() -> None:
    """On either loop, many together."""
    workers = FakeWorkers()
    async with serving(workers) as (deployed, model), grpc_serving(deployed) as (_, channel):
        infer = channel.unary_unary(INFER)
        calls = [infer(a_request(float(row), float(row) + 1)) for row in range(1, 41)]
        for row, answer in enumerate(await asyncio.gather(*calls), 1):
            assert answered(answer) == ({"y": [row + 0.5, row + 1.5]}, "7")
        assert model.answered == 40
    assert len(workers.seen) < 40


async def test_calls_that_come_together_are_all_answered() -> None:
    """The library ends calls with CANCELLED where it holds a thousand that no handler has."""
    async with serving(FakeWorkers()) as (deployed, _), grpc_serving(deployed) as (_, channel):
        infer = channel.unary_unary(INFER)
        # On one event loop: all of them are sent before the server takes the second.
        calls = [infer(a_request(1.0)) for _ in range(TOGETHER)]
        codes = Counter([await call.code() for call in calls])
    assert codes == {grpc.StatusCode.OK: TOGETHER}


@on_each_loop
async def test_a_call_that_is_given_up_stops_counting() -> None:
    """Cancelled by its caller, or out of time: it waits for no worker any more."""
    async with (
        serving(FakeWorkers()) as (deployed, model),
        grpc_serving(deployed) as (_, channel),
    ):
        infer = channel.unary_unary(INFER)
        hanging = infer(a_request(HANGING))
        await until(lambda: model.batcher.unanswered == 1)
        waiting = [infer(a_request(1.0)) for _ in range(3)]
        await until(lambda: model.batcher.unanswered == 4)
        for call in waiting:
            call.cancel()
        await until(lambda: model.batcher.unanswered == 1)
        code, _ = await status_of(infer(a_request(1.0), timeout=0.2))
        assert code is grpc.StatusCode.DEADLINE_EXCEEDED
        await until(lambda: model.batcher.unanswered == 1)
        hanging.cancel()
        await until(lambda: model.batcher.unanswered == 0)


async def test_what_is_too_much_is_refused_with_when_to_try_again() -> None:
    """UNAVAILABLE, and what gRPC's libraries go by."""
    batching = BatchSettings(100, 0.002, 30, queue_rows=2)
    async with (
        serving(FakeWorkers(), batching) as (deployed, model),
        grpc_serving(deployed) as (_, channel),
    ):
        infer = channel.unary_unary(INFER)
        open_calls = [infer(a_request(HANGING))]
        await until(lambda: model.batcher.unanswered == 1 and not model.batcher.waiting)
        while model.batcher.waiting < 2:
            open_calls.append(infer(a_request(1.0)))
            await until(lambda: model.batcher.unanswered == len(open_calls))
        with pytest.raises(grpc.aio.AioRpcError) as raised:
            await infer(a_request(1.0))
        error = raised.value
        assert error.code() is grpc.StatusCode.UNAVAILABLE
        assert "rows wait (MAX_QUEUE_ROWS)" in str(error.details())
        trailers = dict(error.trailing_metadata())
        assert trailers["grpc-retry-pushback-ms"] == "1000"
        assert trailers["x-model-version"] == "7"
        # The pace of every protocol, by the model's name.
        assert list(deployed.plane.refusals._due_s) == [MODEL]
        for call in open_calls:
            call.cancel()


async def test_a_deadline_that_cant_be_met_is_refused() -> None:
    """By what calls take, before a worker has it: the call's own deadline, and what it sends."""
    workers = FakeWorkers(takes_s=0.5)
    async with serving(workers) as (deployed, _), grpc_serving(deployed) as (_, channel):
        infer = channel.unary_unary(INFER)
        await infer(a_request(1.0))
        code, sentence = await status_of(infer(a_request(2.0), timeout=0.25))
        assert code is grpc.StatusCode.UNAVAILABLE
        assert "can't be answered in time" in sentence
        short = ModelInferRequest.FromString(a_request(2.0))
        short.parameters["timeout"].int64_param = 250_000
        code, sentence = await status_of(infer(short.SerializeToString()))
        assert code is grpc.StatusCode.UNAVAILABLE
        short.parameters["timeout"].int64_param = -1
        code, sentence = await status_of(infer(short.SerializeToString()))
        assert code is grpc.StatusCode.INVALID_ARGUMENT
        assert sentence.startswith("parameters.timeout")
    assert workers.seen == [[1.0]]


async def test_a_version_that_does_not_serve_is_told_once() -> None:
    """By no version, as a call of gRPC; so is a parameter that is none, by the one that serves."""
    async with serving(FakeWorkers()) as (deployed, _), grpc_serving(deployed) as (_, channel):
        infer = channel.unary_unary(INFER)
        code, sentence = await status_of(infer(a_request(1.0, model_version="8")))
        assert code is grpc.StatusCode.NOT_FOUND
        assert "7 serves" in sentence
        wrong = ModelInferRequest.FromString(a_request(1.0))
        wrong.parameters["timeout"].int64_param = -1
        await status_of(infer(wrong.SerializeToString()))
        await infer(a_request(1.0, model_version="7"))
    told = [(version, error.code) for version, error in deployed.listening.failed]
    assert told == [(None, "unknown-version"), (VERSION, "contract-violation")]
    assert deployed.listening.protocols == [WireProtocol.GRPC] * 3


async def test_a_model_that_raises_is_internal_without_a_traceback() -> None:
    """And so is one that loses its process over a call."""
    async with serving(FakeWorkers()) as (deployed, _), grpc_serving(deployed) as (_, channel):
        infer = channel.unary_unary(INFER)
        for row in (RAISING, KILLING):
            code, sentence = await status_of(infer(a_request(row)))
            assert code is grpc.StatusCode.INTERNAL
            assert "Traceback" not in sentence
        assert answered(await infer(a_request(1.0)))[0] == {"y": [1.5]}


async def _one(message: bytes) -> AsyncIterator[bytes]:
    yield message


def _never() -> tuple[Callable[[], AsyncIterator[bytes]], asyncio.Event]:
    event = asyncio.Event()

    async def messages() -> AsyncIterator[bytes]:
        await event.wait()
        yield a_request(1.0)

    return messages, event


async def test_a_message_that_does_not_come_is_not_waited_for() -> None:
    """BODY_TIMEOUT_S holds here too; and where too many are slow, the oldest are given up."""
    async with (
        serving(FakeWorkers()) as (deployed, _),
        grpc_serving(
            deployed, body_timeout_s=2.0, max_body_bytes=2**20, max_bodies_bytes=2**20
        ) as (_, channel),
    ):
        infer = channel.stream_unary(INFER)
        assert answered(await infer(_one(a_request(1.0))))[0] == {"y": [1.5]}
        assert (await status_of(infer(_nothing())))[0] is grpc.StatusCode.INVALID_ARGUMENT
        messages, event = _never()
        first, second = infer(messages()), infer(messages())
        assert await status_of(first) == (
            grpc.StatusCode.UNAVAILABLE,
            "too many messages come slowly",
        )
        assert await status_of(second) == (
            grpc.StatusCode.DEADLINE_EXCEEDED,
            "no message came within 2 s (BODY_TIMEOUT_S)",
        )
        event.set()


async def _nothing() -> AsyncIterator[bytes]:
    nothing: list[bytes] = []
    for message in nothing:
        yield message


async def test_what_is_too_large_is_refused_both_ways() -> None:
    """A message over MAX_BODY_BYTES, also one that is so once it is decompressed."""
    async with (
        serving(FakeWorkers()) as (deployed, _),
        grpc_serving(deployed, max_body_bytes=1_000) as (_, channel),
    ):
        infer = channel.unary_unary(INFER)
        for compression in (None, grpc.Compression.Gzip):
            large = infer(a_request(*[1.0] * 200), compression=compression)
            code, sentence = await status_of(large)
            assert code is grpc.StatusCode.RESOURCE_EXHAUSTED
            assert "larger than max" in sentence
        answer = await infer(a_request(1.0), compression=grpc.Compression.Gzip)
        assert answered(answer)[0] == {"y": [1.5]}


async def test_an_answer_that_is_too_large_is_told_as_not_answered() -> None:
    """To the caller and to what counts: the version has answered, and its caller got nothing."""
    message = a_request(1.0, 2.0)
    async with (
        serving(FakeWorkers()) as (deployed, _),
        # An answer has the version, too, and so more bytes.
        grpc_serving(deployed, max_body_bytes=len(message)) as (_, channel),
    ):
        code, sentence = await status_of(channel.unary_unary(INFER)(message))
        assert code is grpc.StatusCode.RESOURCE_EXHAUSTED
        assert f"{len(message)} are given by this protocol" in sentence
        assert deployed.listening.answered == []
        assert [error.code for _, error in deployed.listening.failed] == ["answer-too-large"]


async def test_a_call_under_way_is_answered_before_the_server_ends() -> None:
    """A second call is not taken any more."""
    async with (
        serving(FakeWorkers(takes_s=0.3)) as (deployed, model),
        grpc_serving(deployed) as (server, channel),
    ):
        infer = channel.unary_unary(INFER)
        under_way = infer(a_request(1.0))
        await until(lambda: model.batcher.unanswered == 1)
        ending = asyncio.create_task(server.stop(5.0))
        assert answered(await under_way)[0] == {"y": [1.5]}
        await ending
        assert (await status_of(infer(a_request(1.0))))[0] is grpc.StatusCode.UNAVAILABLE


@on_each_loop
async def test_each_call_ends_with_the_id_of_its_request() -> None:
    """The caller's own where it is usable, else a new one; whatever comes of the call."""
    health = "/grpc.health.v1.Health"
    calls = {
        INFER: (a_request(1.0), b"nonsense"),
        f"/{SERVICE}/ModelMetadata": (b"", b"\xff"),
        f"/{SERVICE}/ServerLive": (b"",),
        f"{health}/Check": (b"", health_pb2.HealthCheckRequest(service="no").SerializeToString()),
    }
    reflection = "/grpc.reflection.v1alpha.ServerReflection/ServerReflectionInfo"
    async with serving(FakeWorkers()) as (deployed, _), grpc_serving(deployed) as (_, channel):

        async def id_of(call: Any) -> str:
            await call.code()
            ids = [value for key, value in await call.trailing_metadata() if key == "x-request-id"]
            assert len(ids) == 1
            return str(ids[0])

        for method, messages in calls.items():
            for message in messages:
                send = channel.unary_unary(method)
                assert await id_of(send(message, metadata=[("x-request-id", "a-1")])) == "a-1"
                made_up = {
                    await id_of(send(message, metadata=given))
                    for given in (None, [("x-request-id", "a b")], [("x-request-id", "x" * 129)])
                }
                assert len(made_up) == 3
                assert all(len(one) == 36 for one in made_up)
        send = channel.stream_stream(reflection)
        reflected = send(iter(()), metadata=[("x-request-id", "a-2")])
        assert [told async for told in reflected] == []
        assert await id_of(reflected) == "a-2"


async def test_what_is_logged_of_a_call_has_its_id() -> None:
    """As in HTTP: what the caller has in its hand leads to the line."""
    async with serving(FakeWorkers()) as (deployed, _), grpc_serving(deployed) as (_, channel):
        merged = [structlog.contextvars.merge_contextvars]
        with structlog.testing.capture_logs(merged) as lines:
            call = channel.unary_unary(INFER)(
                a_request(RAISING), metadata=[("x-request-id", "a-3")]
            )
            await status_of(call)
    [line] = [line for line in lines if line["event"] == "model raised"]
    assert line["request_id"] == "a-3"


async def test_each_call_is_noted_in_the_access_log() -> None:
    """Answered, refused, given up, or a stream: by its method, with its status, id and version."""
    async with serving(FakeWorkers()) as (deployed, model):
        with structlog.testing.capture_logs() as lines:
            async with grpc_serving(deployed, AccessLog(None)) as (_, channel):
                infer = channel.unary_unary(INFER)
                given = [("x-request-id", "a-4")]
                answer = await infer(a_request(1.0), metadata=given)
                await status_of(infer(b"nonsense", metadata=given))
                hanging = infer(a_request(HANGING), metadata=given)
                await until(lambda: model.batcher.unanswered == 1)
                hanging.cancel()
                await until(lambda: model.batcher.unanswered == 0)
                await channel.unary_unary(f"/{SERVICE}/ServerLive")(b"", metadata=given)
                reflection = "/grpc.reflection.v1alpha.ServerReflection/ServerReflectionInfo"
                reflected = channel.stream_stream(reflection)(iter(()), metadata=given)
                assert [told async for told in reflected] == []
                await until(lambda: len(noted(lines)) == 5)
    lines = noted(lines)
    assert {line["request_id"] for line in lines} == {"a-4"}
    assert {line["method"] for line in lines} == {"gRPC"}
    assert [(line["path"], line["status"]) for line in lines] == [
        (INFER, "OK"),
        (INFER, "INVALID_ARGUMENT"),
        (INFER, "CANCELLED"),
        (f"/{SERVICE}/ServerLive", "OK"),
        (reflection, "OK"),
    ]
    first = lines[0]
    assert (first["model"], first["version"], first["bytes"]) == ("größe", "7", len(answer))


def noted(lines: Any) -> list[Any]:
    """Return the lines of the access log."""
    return [line for line in lines if line["event"] == "request"]
