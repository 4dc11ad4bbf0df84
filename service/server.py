"""`hotswap serve`: one process, one event loop, one listening socket."""

import math
import signal
import socket
import sys
import threading
from collections.abc import Callable, Coroutine
from functools import partial
from types import FrameType
from typing import Any

import anyio
import structlog
import uvicorn

from service.app import create_app
from service.credentials import Credentials
from service.deployments import Deployments
from service.processes.exit_limit import end_within, limit_of_end
from service.processes.ignored_signals import tell_ignored_signals
from service.processes.temp import TempFolder
from service.settings.settings import Settings
from service.telemetry.exports import Exports
from service.wire.accepting import Accepting
from service.wire.descriptors import connections_for, raise_descriptor_limit
from service.wire.limits import WireLimits
from service.wire.listening import url_of
from service.wire.watch import Watch
from service.workers.cpu_budget import MOST_OWN_WORKERS

_HEALTH_PATHS = frozenset(
    {b"/health", b"/health/live", b"/health/ready", b"/v2/health/live", b"/v2/health/ready"}
)
_KEEP_ALIVE_S = 75
"""Longer than load balancers keep idle connections, so that they close first and lose nothing."""
SWITCH_INTERVAL_S = 0.0005
"""After it a thread that computes lets the event loop go on. Python's own is 5 ms, which each step
of the loop would wait for while threads check a version and read its files."""


class _Server(uvicorn.Server):
    """A server that tells load balancers before it closes its listener."""

    def __init__(
        self,
        config: uvicorn.Config,
        watch: Watch,
        say_so: Callable[[], None],
        lead_s: float,
        limit_s: float,
        stop_grpc: Callable[[], Coroutine[Any, Any, None]] | None,
        end_streams: Callable[[], None],
    ) -> None:
        super().__init__(config)
        self._end_streams = end_streams
        self._stop_grpc = stop_grpc
        self._watch = watch
        self._limit_s = limit_s
        self._ends = False
        self._say_so = say_so
        self._lead_s = lead_s
        self._signalled = False

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """Close the listener, let what is under way be answered, and end all connections."""
        # First: of what is accepted from now on, uvicorn would not know.
        self._watch.is_ending = True
        # Their answers would go on for as long as somebody looks.
        self._end_streams()
        async with anyio.create_task_group() as both:
            if self._stop_grpc is not None:
                both.start_soon(self._stop_grpc)
            await super().shutdown(sockets)

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        """Turn readiness red, and end DRAIN_LEAD_S later; immediately for a second signal."""
        self._say_so()
        if not self._ends:
            self._ends = True
            end_within(self._limit_s, 128 + sig)
        if self._signalled or self._lead_s <= 0:
            super().handle_exit(sig, frame)
            return
        self._signalled = True
        # A timer's thread: this is a signal handler, and the loop may be anywhere.
        timer = threading.Timer(self._lead_s, super().handle_exit, (sig, frame))
        timer.daemon = True
        timer.start()


def serve(
    settings: Settings,
    listener: socket.socket,
    temp: TempFolder,
    credentials: Credentials,
    exports: Exports | None = None,
) -> int:
    """Serve on a socket that listens until a signal ends it. Return the exit status.

    `credentials` are what was taken out of the environment, `exports` is where traces and metrics
    go. Raise SettingsError where a setting does not fit the others.
    """
    service = settings.service
    sys.setswitchinterval(SWITCH_INTERVAL_S)
    # uvicorn passes a signal on once it has done its part. Its default would end us without what
    # is left to do at exit: nobody would remove the fork server's socket.
    signal.signal(signal.SIGTERM, _exit)
    tell_ignored_signals(_tell_ignored)
    descriptors = raise_descriptor_limit()
    # First: a start that a setting forbids says so in one line, and nothing else.
    deployments = Deployments(settings, temp, lambda: credentials, exports=exports)
    app = create_app(deployments)
    if service.models_file and hasattr(signal, "SIGHUP"):
        signal.signal(signal.SIGHUP, lambda *_: deployments.read_again())
    limits, backlog = _limits(settings, descriptors)
    certificates = app.state.certificates
    if app.state.grpc:
        app.state.grpc.most_connections = limits.max_connections
    # Callers can connect already; they are answered as soon as the loop runs.
    structlog.get_logger(__name__).info(
        "listening",
        url=url_of(listener, "https" if certificates else "http"),
        connections=limits.max_connections,
    )
    watch = Watch(limits, deployments.metrics.calls.connections_refused)
    server = _Server(
        uvicorn.Config(
            app,
            http=Accepting(watch, listener, certificates),  # type: ignore[arg-type]
            backlog=backlog,
            ws="none",
            lifespan="on",
            workers=1,
            log_config=None,
            access_log=False,
            server_header=False,
            # Guards ask for the peer itself, and take what a proxy adds for a sign of one.
            proxy_headers=False,
            timeout_graceful_shutdown=math.ceil(settings.drain_timeout_s),
        ),
        watch,
        deployments.begin_draining,
        service.drain_lead_s,
        limit_of_end(service.drain_lead_s, settings.drain_timeout_s),
        partial(app.state.grpc.stop, settings.drain_timeout_s) if app.state.grpc else None,
        app.state.looks.end_streams,
    )
    try:
        server.run(sockets=[listener])
    except KeyboardInterrupt:
        # Raised after the drain: uvicorn passes a signal on once it has done its part.
        return 130
    return 0 if server.started else 1


def _tell_ignored(name: str) -> None:
    structlog.get_logger(__name__).warning("signal ignored", signal=name)


def _limits(settings: Settings, descriptors: int | None) -> tuple[WireLimits, int]:
    """Return what connections may take, and how many may wait to be accepted."""
    service = settings.service
    workers = sum(workers or MOST_OWN_WORKERS for workers in settings.workers)
    connections, backlog = connections_for(
        descriptors, workers, service.max_connections, transports=2 if service.grpc_port else 1
    )
    if connections < service.max_connections:
        structlog.get_logger(__name__).warning(
            "MAX_CONNECTIONS is more than the limit of descriptors allows",
            descriptors=descriptors,
            connections=connections,
        )
    limits = WireLimits(
        max_connections=connections,
        max_bodies_bytes=max(service.max_bodies_bytes, service.max_body_bytes),
        max_body_bytes=service.max_body_bytes,
        head_timeout_s=service.head_timeout_s,
        body_timeout_s=service.body_timeout_s,
        keep_alive_s=_KEEP_ALIVE_S,
        health_paths=_HEALTH_PATHS,
    )
    return limits, backlog


def _exit(sig: int, _: FrameType | None) -> None:
    """End as shells tell of a process that a signal ended."""
    raise SystemExit(128 + sig)
