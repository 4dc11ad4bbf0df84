"""The server of gRPC: it listens beside HTTP's, in the same process and on the same event loop."""

import asyncio
import socket
from collections.abc import AsyncIterator, Callable
from contextlib import aclosing, asynccontextmanager, suppress
from typing import Any

import anyio
import grpc
import structlog
from google.protobuf.message import DecodeError
from grpc_health.v1 import health_pb2
from grpc_reflection.v1alpha import reflection, reflection_pb2

from service.deployments import Deployments
from service.handlers.grpc import open_inference_pb2 as messages
from service.handlers.grpc.access import noted
from service.handlers.grpc.arrivals import Arrivals
from service.handlers.grpc.calls import Calls
from service.handlers.grpc.certificates import credentials_of
from service.handlers.grpc.context import Context
from service.handlers.grpc.faults import end, fail
from service.handlers.grpc.health import SERVICE as HEALTH
from service.handlers.grpc.health import Health
from service.handlers.grpc.infer import Infer
from service.handlers.grpc.trailers import bind_call
from service.serving.dataplane import DataPlane
from service.settings.service import ServiceSettings
from service.telemetry.access_log import AccessLog
from service.wire.certificates import Certificates

_PROTOCOL = messages.DESCRIPTOR.services_by_name["GRPCInferenceService"]
_MOST_CALLS = 10_000
"""Calls under way, as many as HTTP has connections where MAX_CONNECTIONS says nothing."""
_MOST_MESSAGE_BYTES = 8_388_608
"""gRPC's library copies a message three times on the event loop, and holds it 1 ms a megabyte."""
_MILLISECONDS = 1_000
_IDLE_S = 600
"""A connection without calls is closed after so long; libraries open it again by themselves."""

_REFUSED_S = 0.2
"""So long calls are refused with UNAVAILABLE before the listener closes: callers go elsewhere."""

_log = structlog.get_logger("grpc")


class GrpcServer:
    """Serves the protocol, health checks and reflection. `running` hosts it."""

    def __init__(
        self,
        deployments: Deployments,
        dataplane: DataPlane,
        service: ServiceSettings,
        access: AccessLog | None = None,
        certificates: Certificates | None = None,
    ) -> None:
        self._service = service
        self._certificates = certificates
        self._access = access
        self._most_bytes = min(service.max_body_bytes, _MOST_MESSAGE_BYTES)
        most_slow = max(1, service.max_bodies_bytes // self._most_bytes)
        self._arrivals = Arrivals(service.body_timeout_s, most_slow)
        self._infer = Infer(deployments, dataplane, self._arrivals, self._most_bytes)
        self._calls = Calls(deployments)
        self._health = Health(deployments, frozenset({"", _PROTOCOL.full_name}))
        self._server: grpc.aio.Server | None = None
        self._one_stop = asyncio.Lock()

    @asynccontextmanager
    async def running(self, grace_s: float) -> AsyncIterator[None]:
        """Serve meanwhile; then let calls under way be answered, for so long.

        Raise RuntimeError where the address can't be listened on.
        """
        service = self._service
        self._server = server = grpc.aio.server(
            options=self._options(),
            maximum_concurrent_rpcs=service.max_connections or _MOST_CALLS,
        )
        self._register(server)
        address = _address(service.host, service.grpc_port)
        if self._certificates is None:
            server.add_insecure_port(address)
        else:
            server.add_secure_port(address, credentials_of(self._certificates))
        await server.start()
        _log.info("listening", address=address, tls=self._certificates is not None)
        watch = asyncio.create_task(self._arrivals.watch())
        try:
            yield
        finally:
            await self.stop(grace_s)
            watch.cancel()
            with suppress(asyncio.CancelledError):
                await watch

    async def stop(self, grace_s: float) -> None:
        """Refuse new calls, and return once those under way are answered, or that time is over.

        The library ends calls with CANCELLED that it has taken and not begun with: so it goes on
        until those under way are answered, and as long as callers take to notice.
        """
        async with self._one_stop:
            server, self._server = self._server, None
            if server is None:
                return
            began_s = asyncio.get_running_loop().time()
            self._health.end()
            with anyio.move_on_after(grace_s):
                await self._infer.drained()
                await asyncio.sleep(_REFUSED_S)
            left_s = began_s + grace_s - asyncio.get_running_loop().time()
            await server.stop(max(0.0, left_s))

    def _options(self) -> list[tuple[str, Any]]:
        service = self._service
        return [
            # Another program's port is an error, not one to share.
            ("grpc.so_reuseport", 0),
            ("grpc.max_receive_message_length", self._most_bytes),
            # Its sentence would be gRPC's own.
            ("grpc.max_send_message_length", -1),
            ("grpc.server_handshake_timeout_ms", int(service.head_timeout_s * _MILLISECONDS)),
            ("grpc.max_connection_idle_ms", _IDLE_S * _MILLISECONDS),
        ]

    def _register(self, server: grpc.aio.Server) -> None:
        calls, health = self._calls, self._health
        answers: dict[str, Callable[[Any, Context], Any]] = {
            "ServerLive": calls.server_live,
            "ServerReady": calls.server_ready,
            "ModelReady": calls.model_ready,
            "ServerMetadata": calls.server_metadata,
            "ModelMetadata": calls.model_metadata,
            "ModelConfig": calls.model_config,
            "ModelStatistics": calls.model_statistics,
            "RepositoryIndex": calls.repository_index,
            "RepositoryModelLoad": calls.repository_model_load,
            "RepositoryModelUnload": calls.repository_model_unload,
        }
        inputs = {method.name: method.input_type.name for method in _PROTOCOL.methods}
        handlers = {
            name: _handler(getattr(messages, inputs[name]), answer)
            for name, answer in answers.items()
        }
        handlers["ModelInfer"] = grpc.stream_unary_rpc_method_handler(self._infer.answer)
        self._add(server, _PROTOCOL.full_name, handlers)
        request = health_pb2.HealthCheckRequest
        checks = {
            "Check": _handler(request, health.check),
            "Watch": grpc.unary_stream_rpc_method_handler(
                _stream(health.watch), _or_empty(request), _serialized
            ),
        }
        self._add(server, HEALTH, checks)
        names = (_PROTOCOL.full_name, HEALTH, reflection.SERVICE_NAME)
        reflected = reflection.aio.ReflectionServicer(names)
        shown = grpc.stream_stream_rpc_method_handler(
            _stream(reflected.ServerReflectionInfo),
            _or_empty(reflection_pb2.ServerReflectionRequest),
            _serialized,
        )
        self._add(server, reflection.SERVICE_NAME, {"ServerReflectionInfo": shown})

    def _add(self, server: grpc.aio.Server, service: str, handlers: dict[str, Any]) -> None:
        if self._access is not None:
            handlers = {
                name: noted(handler, f"/{service}/{name}", self._access)
                for name, handler in handlers.items()
            }
        # Not registered, as generated code has it: each such method is one more task that the
        # library waits for anew at each call.
        server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler(service, handlers),))


def _handler(kind: Any, answer: Callable[[Any, Context], Any]) -> Any:
    """Return what answers a call that has nothing to wait for, by a message of this kind.

    It gets bytes: what gRPC itself answers where it can't read a message tells of a defect.
    """

    async def answered(message: bytes, context: Context) -> bytes:
        bind_call(context)
        try:
            return _serialized(answer(kind.FromString(message), context))
        except DecodeError:
            sentence = f"the message is no {kind.DESCRIPTOR.full_name}"
            return end(context, grpc.StatusCode.INVALID_ARGUMENT, sentence)
        except Exception as error:  # noqa: BLE001 - whatever it is, it is answered in one place
            return fail(context, error)

    return grpc.unary_unary_rpc_method_handler(answered)


def _stream(answer: Callable[[Any, Context], AsyncIterator[Any]]) -> Any:
    """Return what answers a call by several messages; each call has its id."""

    async def answered(request: Any, context: Context) -> AsyncIterator[Any]:
        bind_call(context)
        async with aclosing(answer(request, context)) as told:  # type: ignore[type-var]
            async for message in told:
                yield message

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


def _address(host: str, port: int) -> str:
    """Return the first address of a host, as HTTP listens on."""
    found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
    name = found[0][4][0]
    return f"[{name}]:{port}" if found[0][0] == socket.AF_INET6 else f"{name}:{port}"
