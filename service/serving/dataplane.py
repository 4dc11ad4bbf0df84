"""One prediction request, whatever protocol it came by."""

import asyncio
import time
from collections.abc import Coroutine, Iterator
from contextlib import contextmanager
from typing import Any, Protocol, cast, overload

import anyio.to_thread
import msgspec
from anyio import CapacityLimiter

from service.codecs.catalog import SCORING
from service.codecs.codec import Codec, Wanted, drained
from service.contracts.contract import Call, Predictions
from service.contracts.merge import cut
from service.core.errors import (
    CallerGoneError,
    ChildLostError,
    DeadlineExceededError,
    ModelFailedError,
    NonFinitePredictionError,
    OverloadedError,
    RequestTimeoutError,
    ServiceError,
    UnknownVersionError,
)
from service.core.protocols import WireProtocol
from service.core.version_names import VersionNames
from service.core.versions import ModelVersion
from service.serving.batching.request_queue import Caller, Share
from service.serving.failed_request import FailedRequest
from service.serving.handling import Handling
from service.serving.interface import BodyLimits, EncodedRequest, Request, TypedRequest
from service.serving.model import LoadedModel
from service.serving.named_version import check_version
from service.serving.refusal_pace import RefusalPace
from service.serving.routes import Routes
from service.telemetry.observer import Observer
from service.telemetry.tracing.request_trace import CURRENT, DECODE, ENCODE, QUEUE, RequestTrace
from service.workers.messages import RawReply

_LIST_VALUE_BYTES = 8
"""What a value of a list counts for in a queue's bytes."""
_UNCOUNTED_BYTES = 8_192
"""Smaller bodies are let in however much is held, as connections let them in."""
EXPANSION = 8
"""How many times MAX_BODY_BYTES a body may have once it is decoded."""

MODEL_FAULTS = (ModelFailedError, ChildLostError, RequestTimeoutError, NonFinitePredictionError)
"""What a request can meet that speaks against the version.

What was refused or expired before a worker had it (OverloadedError, QueueTimeoutError) does not,
nor does what its caller gave too little time (DeadlineExceededError).
"""


class Served(Protocol):
    """A deployment, as far as a request needs it."""

    @property
    def name(self) -> str:
        """What this service calls it."""
        ...

    @property
    def routes(self) -> Routes:
        """Which of its versions answers."""
        ...

    @property
    def observer(self) -> Observer:
        """What is told of each request."""
        ...


class EncodedAnswer(msgspec.Struct, frozen=True):
    """The whole body that answers a body, and which version gave it."""

    body: bytes
    rows: int
    version: ModelVersion
    names: VersionNames
    """The version as the body names it, for headers that say the same."""
    client_request_id: str = ""
    """What the body called the request."""
    handling: Handling = Handling()


class TypedAnswer(msgspec.Struct, frozen=True):
    """The predictions that answer a call, and which version gave them."""

    predictions: Predictions
    version: ModelVersion
    names: VersionNames
    handling: Handling = Handling()

    @property
    def rows(self) -> int:
        """How many rows it has."""
        return self.predictions.rows


class DataPlane:
    """What every protocol calls, for whichever deployment's versions."""

    def __init__(
        self, raw_body_bytes: int, max_body_bytes: int, max_bodies_bytes: int = 2**28
    ) -> None:
        """Hold `max_bodies_bytes` of bodies together at most, whichever models and protocols."""
        self._limits = BodyLimits(raw_body_bytes, EXPANSION * max_body_bytes)
        self._most_bytes = max(max_bodies_bytes, max_body_bytes)
        self.held_bytes = 0
        """The bytes of all bodies that are answered now, small ones apart."""
        self.refusals = RefusalPace()
        """For what refuses: one pace for each model, by whichever protocol it is asked."""
        self._encoding = CapacityLimiter(2)

    def refusal(
        self,
        deployment: Served,
        protocol: WireProtocol,
        body_bytes: int,
        deadline_s: float | None = None,
    ) -> OverloadedError | None:
        """Say why a request with a body of this size is refused, None where it is not.

        Ask it with nothing but a request's head, and once for each: what is refused need not be
        read, and the observer is told of it. It costs about a microsecond; see `Batcher.refusal`.
        """
        model = deployment.routes.current
        if model is None:
            return None
        is_body = body_bytes > self._limits.raw_body_bytes
        refusal = self._too_much(body_bytes) if body_bytes > _UNCOUNTED_BYTES else None
        if refusal is None:
            refusal = model.batcher.refusal(body_bytes, is_body=is_body, deadline_s=deadline_s)
        if refusal is not None:
            refusal.answered_by = model.version
            _tell_failed(deployment, model.version, protocol, refusal)
        return refusal

    def note_failed(self, deployment: Served, protocol: WireProtocol, error: Exception) -> None:
        """Tell the observer of what a request met before `infer`, unless it was told of it."""
        if isinstance(error, ServiceError) and not error.is_observed:
            model = deployment.routes.current
            is_named = isinstance(error, UnknownVersionError)
            version = None if model is None or is_named else model.version
            _tell_failed(deployment, version, protocol, error)

    @contextmanager
    def noting(self, deployment: Served, protocol: WireProtocol) -> Iterator[None]:
        """Note what ends a request for predictions in this block, wherever in it that is met."""
        try:
            yield
        except ServiceError as error:
            self.note_failed(deployment, protocol, error)
            raise

    @overload
    async def infer(
        self,
        deployment: Served,
        protocol: WireProtocol,
        request: EncodedRequest,
        caller: Caller | None = None,
        deadline_s: float | None = None,
        wanted_version: str = "",
    ) -> EncodedAnswer: ...

    @overload
    async def infer(
        self,
        deployment: Served,
        protocol: WireProtocol,
        request: TypedRequest,
        caller: Caller | None = None,
        deadline_s: float | None = None,
        wanted_version: str = "",
    ) -> TypedAnswer: ...

    async def infer(
        self,
        deployment: Served,
        protocol: WireProtocol,
        request: Request,
        caller: Caller | None = None,
        deadline_s: float | None = None,
        wanted_version: str = "",
    ) -> EncodedAnswer | TypedAnswer:
        """Answer a request by the version that serves when it comes, in the form that it has.

        Where a version is wanted, it is that one or none. A request whose `caller` has gone before
        a worker has it is dropped. `deadline_s` is the event loop's time until which the caller
        itself waits; REQUEST_TIMEOUT_S holds beside it.

        Everything happens inside one lease, so contract, model and the version that is named
        always belong together. Raise what `Codec.decode` and `Batcher.submit` raise, with the
        version in `answered_by`, NoVersionError, UnknownVersionError for another version than is
        wanted, and DeadlineExceededError. The observer is told once, of the answer or of what is
        raised; of a cancelled call as of a caller that is gone.
        """
        began_s = time.perf_counter()
        version: ModelVersion | None = None
        trace = CURRENT.get()
        try:
            with deployment.routes.lease() as model:
                if wanted_version:
                    check_version(deployment.name, wanted_version, model.version)
                version = model.version
                if trace is not None:
                    trace.version = version
                if deadline_s is not None:
                    _check_deadline(deadline_s)
                answer = await (
                    self._answer_encoded(model, request, caller, deadline_s, trace)
                    if isinstance(request, EncodedRequest)
                    else self._answer_call(model, request, caller, deadline_s, trace)
                )
                model.answered += 1
                if trace is not None:
                    trace.answered(answer.rows)
        except (Exception, asyncio.CancelledError) as error:
            told = _told(error)
            told.answered_by = version
            _tell_failed(deployment, version, protocol, told, time.perf_counter() - began_s)
            raise
        ended_s = time.perf_counter()
        observer, took_s, handling = deployment.observer, ended_s - began_s, answer.handling
        observer.request_answered(version, protocol, answer.rows, took_s)
        decode_s = handling.decoded_at_s - began_s if handling.decoded_at_s else None
        encode_s = ended_s - handling.encoding_at_s if handling.encoding_at_s else None
        observer.request_detailed(
            version, took_s, decode_s, encode_s, handling.waiting, handling.unanswered
        )
        return answer

    def _too_much(self, body_bytes: int) -> OverloadedError | None:
        """Say why no further body of this size may be held, None where it may."""
        if self.held_bytes + body_bytes <= self._most_bytes:
            return None
        held = f"{self.held_bytes} bytes of bodies are held (MAX_BODIES_BYTES)"
        return OverloadedError(f"too much is asked: {held}", 1.0, "service-bytes")

    def _answer_encoded(
        self,
        model: LoadedModel,
        request: EncodedRequest,
        caller: Caller | None,
        deadline_s: float | None,
        trace: RequestTrace | None,
    ) -> Coroutine[Any, Any, EncodedAnswer]:
        """Return what answers a body: a small one is not counted in what is held."""
        answer = self._answer_held if len(request.body) > _UNCOUNTED_BYTES else self._answer_body
        return answer(model, request, caller, deadline_s, trace)

    async def _answer_held(
        self, model: LoadedModel, request: EncodedRequest, *how: Any
    ) -> EncodedAnswer:
        """Answer a body that counts."""
        body_bytes = len(request.body)
        refusal = self._too_much(body_bytes)
        if refusal is not None:
            raise refusal
        self.held_bytes += body_bytes
        try:
            return await self._answer_body(model, request, *how)
        finally:
            self.held_bytes -= body_bytes

    async def _answer_body(
        self,
        model: LoadedModel,
        request: EncodedRequest,
        caller: Caller | None,
        deadline_s: float | None,
        trace: RequestTrace | None,
    ) -> EncodedAnswer:
        interface = model.interface
        body_bytes = len(request.body)
        try:
            if trace is not None:
                trace.step(DECODE)
            payload, wanted = interface.payload(request, self._limits)
            decoded_at_s = time.perf_counter()
            waiting, unanswered = model.batcher.waiting, model.batcher.unanswered + 1
            if trace is not None:
                trace.step(QUEUE)
            try:
                answer = await model.batcher.submit(payload, body_bytes, caller, deadline_s, trace)
            except (ModelFailedError, NonFinitePredictionError):
                if not isinstance(payload, Call) or request.codec not in SCORING:
                    raise
                # What then is answered, and whose fault it is, is for MLflow's own code to say.
                raw = interface.raw(request, self._limits)
                answer = await model.batcher.submit(raw, body_bytes, caller, deadline_s, trace)
            called = wanted.client_request_id
            if isinstance(answer, RawReply):
                rows, body, called = answer.rows, answer.body, answer.client_request_id
                handling = Handling(waiting, unanswered)
                if answer.scored_as is not None:
                    model.interface = interface.scored_as(answer.scored_as)
            else:
                rows = answer.stop - answer.start
                handling = Handling(waiting, unanswered, decoded_at_s, time.perf_counter())
                if trace is not None:
                    trace.step(ENCODE)
                codec = interface.codecs[request.answer]
                if not answer.is_wide:
                    body = codec.encode(
                        answer.encodable, answer.start, answer.stop, wanted, interface.names
                    )
                else:
                    body = await anyio.to_thread.run_sync(
                        _encode_wide, codec, answer, wanted, interface.names, limiter=self._encoding
                    )
        except MODEL_FAULTS as error:
            model.note_failure(FailedRequest(request, error, self._limits))
            raise
        request.check_answer(len(body))
        return EncodedAnswer(body, rows, model.version, interface.names, called, handling)

    async def _answer_call(
        self,
        model: LoadedModel,
        request: TypedRequest,
        caller: Caller | None,
        deadline_s: float | None,
        trace: RequestTrace | None,
    ) -> TypedAnswer:
        if trace is not None:
            trace.step(DECODE)
        call = request(model.contract)
        batcher = model.batcher
        handling = Handling(batcher.waiting, batcher.unanswered + 1, time.perf_counter())
        if trace is not None:
            trace.step(QUEUE)
        try:
            answer = await batcher.submit(call, _size_bytes(call), caller, deadline_s, trace)
        except MODEL_FAULTS as error:
            model.note_failure(FailedRequest(request, error, self._limits, call))
            raise
        share = cast("Share", answer)
        predictions = cut(share.predictions, share.start, share.stop)
        return TypedAnswer(predictions, model.version, model.interface.names, handling)


def _tell_failed(
    deployment: Served,
    version: ModelVersion | None,
    protocol: WireProtocol,
    error: ServiceError,
    took_s: float = 0.0,
) -> None:
    """Tell the observer, and the request's trace if it has one, what a request met: this once."""
    error.is_observed = True
    trace = CURRENT.get()
    if trace is not None:
        trace.version = version
        trace.failed(error.code)
    deployment.observer.request_failed(version, protocol, error, took_s)


def _told(error: BaseException) -> ServiceError:
    """Return what the observer is told of an error."""
    if isinstance(error, ServiceError):
        return error
    if isinstance(error, asyncio.CancelledError):
        return CallerGoneError("the call was cancelled")
    return ServiceError(repr(error))


def _check_deadline(deadline_s: float) -> None:
    """Raise DeadlineExceededError for a request that came too late for an answer in time."""
    if asyncio.get_running_loop().time() >= deadline_s:
        raise DeadlineExceededError


def _encode_wide(codec: Codec, share: Share, wanted: Wanted, names: VersionNames) -> bytes:
    """Encode some rows at a time: a thread that does gives way to others between."""
    chunks = codec.encode_chunked(share.encodable, share.start, share.stop, wanted, names)
    return drained(chunks)


def _size_bytes(call: Call) -> int:
    """Return what a call counts for in a queue; a value of a list as much as a number."""
    return sum(
        len(column) if isinstance(column, bytes) else len(column) * _LIST_VALUE_BYTES
        for column in call.columns
    )
