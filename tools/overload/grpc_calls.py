"""Calls of `ModelInfer`, over a few HTTP/2 connections that share them."""

import asyncio
import itertools

import grpc

from tools.overload.flight import Flight, LoadRecorder
from tools.overload.plan import Plan

METHOD = "/inference.GRPCInferenceService/ModelInfer"
OPTIONS = (("grpc.enable_http_proxy", 0), ("grpc.use_local_subchannel_pool", 1))
"""No proxy of this machine's, and a connection for each channel."""
_CHANNELS = 4
_PUSHBACK = "grpc-retry-pushback-ms"
"""A refusal says when to come back; a connection that failed has the same status without it."""


class Call(Flight):
    """One call."""

    def __init__(self, due_s: float, *, is_probe: bool) -> None:
        self.due_s, self.is_probe = due_s, is_probe
        self.under_way: grpc.aio.Call | None = None

    def give_up(self) -> None:
        """Cancel the call."""
        if self.under_way is not None:
            self.under_way.cancel()


class GrpcCalls:
    """All calls of one plan."""

    opening = 0
    """The library opens connections by itself: a call is sent when it is due."""

    def __init__(self, plan: Plan, recorder: LoadRecorder) -> None:
        self._plan = plan
        self._recorder = recorder
        address = f"{plan.host}:{plan.port}"
        channels = (grpc.aio.insecure_channel(address, OPTIONS) for _ in range(_CHANNELS))
        self._methods = itertools.cycle([channel.unary_unary(METHOD) for channel in channels])
        self._tasks: set[asyncio.Task[None]] = set()

    def send(self, due_s: float, *, is_probe: bool) -> None:
        """Send a request that was due at that time."""
        call = Call(due_s, is_probe=is_probe)
        self._recorder.note_sent(call)
        task = asyncio.create_task(self._ask(call))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _ask(self, call: Call) -> None:
        body = self._plan.probe if call.is_probe else self._plan.body
        call.under_way = under_way = next(self._methods)(body)
        code = await under_way.code()
        if code is grpc.StatusCode.UNAVAILABLE:
            trailers = await under_way.trailing_metadata()
            if trailers is None or _PUSHBACK not in trailers:
                self._recorder.note_broken(call)
                return
        self._recorder.note_answer(call, code.name)
