"""`ModelInfer`: a message in, a message out, by the data plane of every other protocol."""

import asyncio

import grpc

from service.access.principal import Permission, Principal
from service.codecs.catalog import INFERENCE_MESSAGES
from service.codecs.inference.message import read_head
from service.codecs.inference.timeout import timeout_s_of
from service.core.errors import (
    OverloadedError,
    ServiceError,
    ShuttingDownError,
)
from service.core.protocols import WireProtocol
from service.deployments import Deployments
from service.handlers.deadline import deadline_in
from service.handlers.grpc.arrivals import Arrivals, LateMessageError
from service.handlers.grpc.callers import Callers
from service.handlers.grpc.context import Context
from service.handlers.grpc.faults import end, fail
from service.handlers.grpc.trailers import bind_call, end_with
from service.handlers.inference.addressed import served
from service.handlers.permissions import chosen
from service.serving.dataplane import DataPlane
from service.serving.interface import EncodedRequest
from service.serving.turns import Turns

PERMISSION = Permission.PREDICT


class Infer:
    """Answers requests for predictions.

    A message is taken as bytes, and a request as a stream that has one: so what is refused was not
    read, or not decoded, and a message that does not come is not waited for without a limit.
    """

    def __init__(
        self,
        deployments: Deployments,
        dataplane: DataPlane,
        callers: Callers,
        turns: Turns,
        arrivals: Arrivals,
        most_bytes: int,
    ) -> None:
        """Answer with `most_bytes` at most, as many as a message may have."""
        self._deployments = deployments
        self._dataplane = dataplane
        self._callers = callers
        self._turns = turns
        self._arrivals = arrivals
        self._most_bytes = most_bytes
        self._open = 0
        self._is_ending = False
        self._answered = asyncio.Event()

    async def drained(self) -> None:
        """Refuse what comes from now on, and return once all that came before is answered."""
        self._is_ending = True
        while self._open:
            self._answered.clear()
            await self._answered.wait()

    async def answer(self, _: object, context: Context) -> bytes:
        """Answer a call; errors are the call's status."""
        bind_call(context)
        if self._is_ending:
            return fail(context, ShuttingDownError("the service is ending"))
        self._open += 1
        try:
            # Before the message, which may be large, or slow to come.
            caller = await self._callers.admit(context, PERMISSION)
            message = await self._arrivals.message_of(context)
            if message is None:
                return end(context, grpc.StatusCode.INVALID_ARGUMENT, "the call has no message")
            return await self._answer(message, caller, context)
        except LateMessageError as late:
            return end(context, grpc.StatusCode.DEADLINE_EXCEEDED, str(late))
        except Exception as error:  # noqa: BLE001 - whatever it is, it is answered in one place
            return fail(context, error)
        finally:
            self._open -= 1
            if not self._open:
                self._answered.set()

    async def _answer(self, message: bytes, caller: Principal, context: Context) -> bytes:
        head = read_head(message)
        deployment = chosen(self._deployments, caller, head.model)
        if not self._turns.has_turn(deployment.name):
            await self._turns.turn(deployment.name)
        dataplane, wire, wanted = self._dataplane, WireProtocol.GRPC, head.version
        deadline_s = None
        try:
            model = served(deployment, wanted)
            deadline_s = _deadline_s(context, timeout_s_of(head.timeout, model.contract))
            refusal = dataplane.refusal(deployment, wire, len(message), deadline_s)
            if refusal is not None:
                raise refusal
            request = EncodedRequest(
                message, INFERENCE_MESSAGES, INFERENCE_MESSAGES, self._most_bytes
            )
            answer = await dataplane.infer(deployment, wire, request, None, deadline_s, wanted)
        except ServiceError as error:
            dataplane.note_failed(deployment, wire, error)
            if isinstance(error, OverloadedError):
                await dataplane.refusals.wait(
                    deployment.name, deadline_s, beside_others=self._turns.are_shared
                )
            raise
        end_with(context, answer.names.trailers)
        return answer.body


def _deadline_s(context: Context, timeout_s: float | None) -> float | None:
    """Return the loop's time until which the caller waits: by the call, and by what it sends."""
    left_s = context.time_remaining()
    if left_s is None or (timeout_s is not None and timeout_s < left_s):
        left_s = timeout_s
    return deadline_in(left_s)
