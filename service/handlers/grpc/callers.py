"""Lets callers in, by the `authorization` of a call's metadata, and has them answered."""

from collections.abc import AsyncIterator, Callable
from contextlib import aclosing
from typing import Any

import grpc
from google.protobuf.message import DecodeError

from service.access.gate import AUTHORIZATION, Gate
from service.access.principal import Permission, Principal
from service.handlers.grpc.context import Context
from service.handlers.grpc.faults import end, fail
from service.handlers.grpc.streams import Streams
from service.handlers.grpc.trailers import bind_call

_KEY = AUTHORIZATION.decode()


class Callers:
    """Makes of what answers a call a handler of gRPC's that wants a permission of its caller."""

    def __init__(self, gate: Gate) -> None:
        self._gate = gate
        self._streams = Streams()

    async def admit(self, context: Context, permission: Permission) -> Principal:
        """Return the caller. Raise UnauthorizedError or PermissionDeniedError."""
        given = [
            value.encode() if isinstance(value, str) else value
            for key, value in context.invocation_metadata() or ()
            if key == _KEY
        ]
        return await self._gate.admit(given, permission)

    def unary(
        self,
        kind: Any,
        answer: Callable[[Any, Context, Principal], Any],
        permission: Permission,
    ) -> Any:
        """Return what answers a call that has nothing to wait for, by a message of this kind.

        It gets bytes: what gRPC itself answers where it can't read a message tells of a defect.
        """

        async def answered(message: bytes, context: Context) -> bytes:
            bind_call(context)
            try:
                caller = await self.admit(context, permission)
                return _serialized(answer(kind.FromString(message), context, caller))
            except DecodeError:
                sentence = f"the message is no {kind.DESCRIPTOR.full_name}"
                return end(context, grpc.StatusCode.INVALID_ARGUMENT, sentence)
            except Exception as error:  # noqa: BLE001 - whatever it is, it is answered in one place
                return fail(context, error)

        return grpc.unary_unary_rpc_method_handler(answered)

    def streaming(
        self,
        kind: Any,
        answer: Callable[[Any, Context, Principal], AsyncIterator[Any]],
        permission: Permission,
    ) -> Any:
        """Return what answers a call by several messages."""
        answered = self._streamed(answer, permission)
        return grpc.unary_stream_rpc_method_handler(answered, _or_empty(kind), _serialized)

    def both_streaming(
        self,
        kind: Any,
        answer: Callable[[Any, Context], AsyncIterator[Any]],
        permission: Permission,
    ) -> Any:
        """Return the same for a call that has several messages itself, and asks no caller."""

        def answer_any(requests: Any, context: Context, _: Principal) -> AsyncIterator[Any]:
            return answer(requests, context)

        answered = self._streamed(answer_any, permission)
        return grpc.stream_stream_rpc_method_handler(answered, _or_empty(kind), _serialized)

    def _streamed(
        self,
        answer: Callable[[Any, Context, Principal], AsyncIterator[Any]],
        permission: Permission,
    ) -> Callable[[Any, Context], AsyncIterator[Any]]:
        """Return what lets the caller in first; each call has its id."""

        async def answered(request: Any, context: Context) -> AsyncIterator[Any]:
            bind_call(context)
            try:
                caller = await self.admit(context, permission)
                with self._streams.opened(context.peer()):
                    async with aclosing(answer(request, context, caller)) as told:  # type: ignore[type-var]
                        async for message in told:
                            yield message
            except Exception as error:  # noqa: BLE001 - whatever it is, it is answered in one place
                fail(context, error)

        return answered


def _or_empty(kind: Any) -> Callable[[bytes], Any]:
    """Return what reads a message of this kind, an empty one where it is malformed."""

    def read(message: bytes) -> Any:
        try:
            return kind.FromString(message)
        except DecodeError:
            return kind()

    return read


def _serialized(message: Any) -> bytes:
    written: bytes = message.SerializeToString()
    return written
