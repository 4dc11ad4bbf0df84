"""The server of gRPC: it listens beside HTTP's, in the same process and on the same event loop."""

import asyncio
import socket
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from typing import Any, Final

import anyio
import grpc
import structlog
from grpc_health.v1 import health_pb2
from grpc_reflection.v1alpha import reflection, reflection_pb2

from service.access.gate import Gate
from service.access.principal import Permission, Principal
from service.deployments import Deployments
from service.handlers.grpc import open_inference_pb2 as messages
from service.handlers.grpc.arrivals import Arrivals
from service.handlers.grpc.callers import Callers
from service.handlers.grpc.calls import Calls
from service.handlers.grpc.certificates import credentials_of
from service.handlers.grpc.context import Context
from service.handlers.grpc.ended_calls import LIBRARY, EndedCalls
from service.handlers.grpc.health import SERVICE as HEALTH
from service.handlers.grpc.health import Health
from service.handlers.grpc.infer import PERMISSION as INFER
from service.handlers.grpc.infer import Infer
from service.handlers.grpc.noted import Notes, noted
from service.handlers.grpc.tracing import traced
from service.serving.dataplane import DataPlane
from service.serving.turns import Turns
from service.settings.service import ServiceSettings
from service.telemetry.access_log import AccessLog
from service.telemetry.filtered import filtered
from service.telemetry.tracing.request_trace import RequestTracer
from service.wire.certificates import Certificates

_PROTOCOL = messages.DESCRIPTOR.services_by_name["GRPCInferenceService"]
_MOST_CALLS = 10_000
"""Calls under way, as many as HTTP has connections where MAX_CONNECTIONS says nothing."""
_MOST_MESSAGE_BYTES = 8_388_608
"""gRPC's library copies a message three times on the event loop, and holds it 1 ms a megabyte."""
_LEAST_PENDING = 3_000
"""The least of what may wait in the library for a handler: its own hard limit."""
_PENDING_BYTES = 65_536
"""What it may hold of the message of each: the window of HTTP/2 (RFC 9113, section 6.9.2)."""
_MILLISECONDS = 1_000
_UNTRACED = frozenset({"ServerLive", "ServerReady"})
"""What asks for these comes again and again, and nobody looks for it."""
_IDLE_S = 600
"""A connection without calls is closed after so long; libraries open it again by themselves."""

_REFUSED_S = 0.2
"""So long calls are refused with UNAVAILABLE before the listener closes: callers go elsewhere."""

PERMISSIONS: Final[dict[str, Permission]] = {
    "ServerLive": Permission.OPEN,
    "ServerReady": Permission.OPEN,
    "ServerMetadata": Permission.ANY,
    "ModelReady": Permission.ANY,
    "ModelMetadata": Permission.ANY,
    "ModelConfig": Permission.ANY,
    "ModelStatistics": Permission.ANY,
    "ModelInfer": INFER,
    "RepositoryIndex": Permission.ANY,
    "RepositoryModelLoad": Permission.ANY,
    "RepositoryModelUnload": Permission.ANY,
    "Check": Permission.HEALTH,
    "Watch": Permission.HEALTH,
    "ServerReflectionInfo": Permission.ANY,
}
"""What each call wants of its caller, as the same call by REST does. A call has to be here."""

_log = structlog.get_logger("grpc")


class GrpcServer:
    """Serves the protocol, health checks and reflection. `running` hosts it."""

    def __init__(
        self,
        deployments: Deployments,
        dataplane: DataPlane,
        turns: Turns,
        service: ServiceSettings,
        gate: Gate,
        access: AccessLog | None = None,
        certificates: Certificates | None = None,
        tracer: RequestTracer | None = None,
    ) -> None:
        self.most_connections = 0
        self._service = service
        self._certificates = certificates
        self._notes = Notes(deployments.metrics.calls, access)
        self._tracer = tracer
        self._most_bytes = min(service.max_body_bytes, _MOST_MESSAGE_BYTES)
        most_slow = max(1, service.max_bodies_bytes // self._most_bytes)
        self._most_pending = max(_LEAST_PENDING, service.max_bodies_bytes // _PENDING_BYTES)
        self._arrivals = Arrivals(service.body_timeout_s, most_slow)
        self._callers = Callers(gate)
        self._infer = Infer(
            deployments, dataplane, self._callers, turns, self._arrivals, self._most_bytes
        )
        self._calls = Calls(deployments)
        self._health = Health(deployments, frozenset({"", _PROTOCOL.full_name}))
        # Kept when it has stopped: the library joins a thread of its own as the last server goes,
        # which may be whenever the garbage collector looks, on the event loop.
        self._server: grpc.aio.Server | None = None
        self._has_stopped = False
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
        with filtered(LIBRARY, EndedCalls()):
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
            server = self._server
            if server is None or self._has_stopped:
                return
            self._has_stopped = True
            began_s = asyncio.get_running_loop().time()
            self._health.end()
            with anyio.move_on_after(grace_s):
                await self._infer.drained()
                await asyncio.sleep(_REFUSED_S)
            left_s = began_s + grace_s - asyncio.get_running_loop().time()
            await server.stop(max(0.0, left_s))

    def _options(self) -> list[tuple[str, Any]]:
        service = self._service
        options: list[tuple[str, Any]] = [
            # Another program's port is an error, not one to share.
            ("grpc.so_reuseport", 0),
            ("grpc.max_receive_message_length", self._most_bytes),
            # Its sentence would be gRPC's own.
            ("grpc.max_send_message_length", -1),
            ("grpc.server_handshake_timeout_ms", int(service.head_timeout_s * _MILLISECONDS)),
            ("grpc.max_connection_idle_ms", _IDLE_S * _MILLISECONDS),
            # Between the two it ends some calls with CANCELLED, and beyond the second all.
            ("grpc.server.max_pending_requests", self._most_pending),
            ("grpc.server.max_pending_requests_hard_limit", self._most_pending),
        ]
        if self.most_connections:
            # What is beyond is closed as soon as it is accepted.
            options.append(("grpc.max_allowed_incoming_connections", self.most_connections))
        return options

    def _register(self, server: grpc.aio.Server) -> None:
        calls, health, callers = self._calls, self._health, self._callers
        answers: dict[str, Callable[[Any, Context, Principal], Any]] = {
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
            name: callers.unary(getattr(messages, inputs[name]), answer, PERMISSIONS[name])
            for name, answer in answers.items()
        }
        handlers["ModelInfer"] = grpc.stream_unary_rpc_method_handler(self._infer.answer)
        self._add(server, _PROTOCOL.full_name, handlers)
        request = health_pb2.HealthCheckRequest
        checks = {
            "Check": callers.unary(request, health.check, PERMISSIONS["Check"]),
            "Watch": callers.streaming(request, health.watch, PERMISSIONS["Watch"]),
        }
        self._add(server, HEALTH, checks)
        names = (_PROTOCOL.full_name, HEALTH, reflection.SERVICE_NAME)
        reflected = reflection.aio.ReflectionServicer(names).ServerReflectionInfo
        name = "ServerReflectionInfo"
        kind = reflection_pb2.ServerReflectionRequest
        shown = callers.both_streaming(kind, reflected, PERMISSIONS[name])
        self._add(server, reflection.SERVICE_NAME, {name: shown})

    def _add(self, server: grpc.aio.Server, service: str, handlers: dict[str, Any]) -> None:
        handlers = {
            name: noted(handler, f"/{service}/{name}", self._notes)
            for name, handler in handlers.items()
        }
        if self._tracer is not None and service == _PROTOCOL.full_name:
            handlers = {
                name: handler
                if name in _UNTRACED
                else traced(handler, f"{service}/{name}", self._tracer)
                for name, handler in handlers.items()
            }
        # Not registered, as generated code has it: each such method is one more task that the
        # library waits for anew at each call.
        server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler(service, handlers),))


def _address(host: str, port: int) -> str:
    """Return the first address of a host, as HTTP listens on."""
    found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
    name = found[0][4][0]
    return f"[{name}]:{port}" if found[0][0] == socket.AF_INET6 else f"{name}:{port}"
