"""Wire HTTP: routes, errors, guards, and the lifespan in which the deployments run."""

import gc
import sys
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Any, NamedTuple, Protocol

import structlog
from litestar import Litestar
from litestar.datastructures import State
from litestar.di import Provide
from litestar.exceptions import HTTPException
from litestar.handlers import HTTPRouteHandler
from litestar.types import ASGIApp

from service.access.gate import Gate
from service.access.sessions import Sessions
from service.access.sources import open_gate
from service.cache_dir import require_writable
from service.core.errors import ServiceError
from service.credentials import Credentials, withhold
from service.deployments import Deployments
from service.handlers import problems
from service.handlers.access import AccessLogged
from service.handlers.compression import Compression
from service.handlers.control import changes, health, info, journal, metrics, models, webhooks
from service.handlers.cors import CrossOrigin
from service.handlers.direct import DirectAnswers
from service.handlers.guards import known_names, permitted
from service.handlers.host_names import HostNames
from service.handlers.inference import faults as inference_faults
from service.handlers.inference import infer
from service.handlers.inference import models as inference_models
from service.handlers.inference import server as inference_server
from service.handlers.inference.direct import DirectInference
from service.handlers.openapi import page as docs_page
from service.handlers.openapi.document import Documents
from service.handlers.page.routes import PageRoutes
from service.handlers.permissions import permissions_of
from service.handlers.predictions import predict
from service.handlers.predictions.direct import DirectPredictions
from service.handlers.request_id import RequestIds
from service.handlers.scoring import faults as scoring_faults
from service.handlers.scoring import invocations, probes
from service.handlers.scoring.direct import DirectScoring
from service.handlers.session_cookie import SessionCookie
from service.handlers.tracing import TracedRequests
from service.handlers.unrouted import Unrouted
from service.processes.own_memory import hide_memory
from service.processes.single_process import hold_listener
from service.registry.webhook import Deliveries
from service.serving.dataplane import DataPlane
from service.serving.turns import Turns
from service.settings.environment import load_settings, read_dotenv
from service.settings.errors import SettingsError
from service.settings.exported import read_exported
from service.settings.service import ServiceSettings
from service.settings.texts import shown_setting
from service.telemetry.access_log import AccessLog
from service.telemetry.exports import open_exports
from service.telemetry.logging import configure_logging, json_writer
from service.telemetry.tracing.request_trace import RequestTracer
from service.wire.certificates import CertificateError, Certificates

_COLLECT_AFTER = (5_000, 80, 100)
"""New objects until the young are looked at, and how many such looks until the older ones are."""


class OtherTransport(Protocol):
    """What serves the same deployments beside HTTP."""

    most_connections: int
    """How many may be open, 0 for any number; to be set before it runs."""

    def running(self, grace_s: float) -> AbstractAsyncContextManager[None]:
        """Serve meanwhile, and then let calls under way be answered, for so long."""
        ...

    async def stop(self, grace_s: float) -> None:
        """Begin to end: take no new calls, and return once those under way are answered."""
        ...


def create_app(deployments: Deployments | None = None) -> Litestar:
    """Make the ASGI application of these deployments, which run as long as it does.

    Without any they are those of `.env` and the environment, and a wrong setting ends the process
    with one line and status 2, so that any ASGI server can be given this as a factory.
    Raise SettingsError, given deployments, where CACHE_DIR can't be written to, or the certificate
    of SSL_CERTFILE or the keys of API_KEYS_FILE not be used.
    """
    held = opened = None
    if deployments is None:
        deployments, opened = _opened_or_exit()
        held = hold_listener(deployments.settings.service.cache_dir / "temp")
    service = deployments.settings.service
    caution, certificates, gate = opened or _open(service)
    if caution:
        structlog.get_logger(__name__).warning("CACHE_DIR is not safe", reason=caution)
    dataplane = DataPlane(service.raw_body_bytes, service.max_body_bytes, service.max_bodies_bytes)
    turns = Turns()
    compression = Compression(service.max_body_bytes)
    access = _access_log() if service.access_log else None
    session_cookie = SessionCookie(Sessions())
    tracer = None if deployments.exports is None else deployments.exports.requests
    calls = None
    if service.grpc_port:
        calls = _grpc_server(deployments, dataplane, turns, gate, access, certificates, tracer)

    looks = PageRoutes(deployments)

    @asynccontextmanager
    async def lifespan(_: Litestar) -> AsyncIterator[None]:
        async with AsyncExitStack() as running:
            await running.enter_async_context(gate.running())
            await running.enter_async_context(deployments.running())
            if certificates is not None:
                await running.enter_async_context(certificates.followed())
            await running.enter_async_context(looks.running())
            if calls is not None:
                drain_s = deployments.settings.drain_timeout_s
                await running.enter_async_context(calls.running(drain_s))
            # All that exists by now stays. A look for garbage at all of it, or every few requests,
            # would cost more than it finds: what a request makes is gone with it.
            gc.freeze()
            gc.set_threshold(*_COLLECT_AFTER)
            yield

    route_handlers: list[HTTPRouteHandler] = [
        predict.predict,
        invocations.invocations,
        probes.ping,
        probes.version,
        inference_server.server_metadata,
        inference_server.server_live,
        inference_server.server_ready,
        inference_server.repository_index,
        inference_server.repository_change,
        inference_models.model_metadata,
        inference_models.model_ready,
        inference_models.model_config,
        inference_models.model_statistics,
        infer.infer,
        health.live,
        health.health,
        health.model_health,
        metrics.metrics,
        models.models,
        info.info,
        changes.reload_model,
        changes.pin_methods,
        changes.pin,
        changes.unpin,
        journal.journal_entries,
        docs_page.openapi_document,
        docs_page.docs,
        docs_page.docs_file,
        *([webhooks.mlflow_webhook] if service.webhook_secret else []),
        *looks.handlers,
    ]
    host_names = HostNames(service.host, service.allowed_hosts)
    permission_of = permissions_of(route_handlers) if gate.wants_keys else None
    app = Litestar(
        route_handlers=route_handlers,
        lifespan=[lifespan],
        dependencies={
            "dataplane": _given(dataplane),
            "deployments": _given(deployments),
            "troubles": _given(health.Troubles([gate, *([certificates] if certificates else [])])),
            "scrapes": _given(metrics.Scrapes(deployments.metrics, service.metrics_compat)),
            "deployment": Provide(models.chosen_deployment, sync_to_thread=False),
            "compression": _given(compression),
            "gate": _given(gate),
            "session_cookie": _given(session_cookie),
            "deliveries": _given(Deliveries(service.webhook_secret)),
            "documents": _given(Documents(deployments, permission_of)),
            "page_files": _given(docs_page.PageFiles()),
            "page": _given(looks.page),
            "static_files": _given(looks.files),
        },
        exception_handlers={
            ServiceError: problems.answer_service_error,
            HTTPException: Unrouted(
                (inference_faults.has_path, inference_faults.answer_http_error),
                (scoring_faults.has_path, scoring_faults.answer_http_error),
            ),
            Exception: problems.answer_unexpected,
        },
        guards=[permitted, known_names],
        request_max_body_size=service.max_body_bytes,
        # Ours is made from contracts; the framework knows none.
        openapi_config=None,
        logging_config=None,
        state=State(
            {
                "gate": gate,
                "session_cookie": session_cookie,
                "host_names": host_names,
                "settings": service,
                "grpc": calls,
                "certificates": certificates,
                "looks": looks,
                # Until this process ends: the lock goes with it.
                "held": held,
            }
        ),
    )
    counts = deployments.metrics.calls
    named = RequestIds(app.asgi_handler, counts)
    direct = DirectAnswers(
        named,
        (DirectPredictions(), DirectScoring(), DirectInference()),
        deployments.find,
        dataplane,
        compression,
        service.max_body_bytes,
        host_names.may_call,
        gate,
        turns,
        counts,
    )
    outer: ASGIApp = direct
    if service.cors_origins:
        outer = CrossOrigin(outer, service.cors_origins, direct.route_of, counts)
    if access is not None:
        outer = AccessLogged(outer, access, direct.route_of)
    if tracer is not None:
        outer = TracedRequests(outer, tracer, direct.route_of)
    app.asgi_handler = outer
    return app


def _access_log() -> AccessLog | None:
    log = AccessLog(json_writer())
    return log if log.is_on else None


def open_certificates(service: ServiceSettings) -> Certificates | None:
    """Read the certificate of SSL_CERTFILE, None where none is set.

    Raise SettingsError where it can't be used.
    """
    if not service.ssl_certfile:
        return None
    certfile, keyfile = service.ssl_certfile, service.ssl_keyfile or service.ssl_certfile
    try:
        return Certificates(Path(certfile), Path(keyfile))
    except CertificateError as error:
        shown = [shown_setting("ssl_certfile", certfile)]
        if service.ssl_keyfile:
            shown.append(shown_setting("ssl_keyfile", keyfile))
        raise SettingsError(
            f"{' with '.join(shown)} is wrong: {error}; allowed are a certificate and its key as "
            "PEM, not encrypted"
        ) from None


def _grpc_server(
    deployments: Deployments,
    dataplane: DataPlane,
    turns: Turns,
    gate: Gate,
    access: AccessLog | None,
    certificates: Certificates | None,
    tracer: RequestTracer | None,
) -> OtherTransport:
    from service.handlers.grpc.server import GrpcServer  # noqa: PLC0415 - an extra, which few want

    service = deployments.settings.service
    return GrpcServer(deployments, dataplane, turns, service, gate, access, certificates, tracer)


class _Opened(NamedTuple):
    """What the settings lead to on disk, read once."""

    caution: str
    """What is not safe about CACHE_DIR, '' where all is well."""
    certificates: Certificates | None
    gate: Gate


def _open(service: ServiceSettings) -> _Opened:
    """Read it. Raise SettingsError where it can't be used."""
    caution = require_writable(service.cache_dir)
    return _Opened(caution, open_certificates(service), open_gate(service))


def _opened_or_exit() -> tuple[Deployments, _Opened]:
    """Read `.env` and the environment, and what they lead to."""
    try:
        read_dotenv()
        settings = load_settings()
        exported = read_exported()
        opened = _open(settings.service)
    except SettingsError as error:
        sys.stderr.write(f"hotswap: {error}\n")
        raise SystemExit(2) from None
    configure_logging(settings.service.log_level, settings.service.log_format)

    def credentials() -> Credentials:
        # Not before it starts: a factory may be called twice.
        hide_memory()
        return withhold(settings.service.worker_env)

    # Nothing is taken out of the environment yet.
    exports = open_exports(exported, {})
    return Deployments(settings, credentials=credentials, exports=exports), opened


def _given(value: Any) -> Provide:
    """Provide a part that was made before the application was."""
    give: Callable[[], Any] = lambda: value  # noqa: E731 - a def would be no shorter
    return Provide(give, sync_to_thread=False)
