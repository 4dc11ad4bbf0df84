"""Wire the service: the only place where its parts meet, and the only lifespan."""

import gc
import os
import platform
import sys
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from types import MappingProxyType
from typing import Any

import anyio
import anyio.to_thread
import msgspec
import structlog
from litestar import Litestar
from litestar.di import Provide
from litestar.exceptions import HTTPException
from litestar.openapi import OpenAPIConfig
from litestar.openapi.plugins import JsonRenderPlugin, YamlRenderPlugin

from service.cache_dir import require_writable, temp_folder
from service.compiling.compilation import Compiler
from service.control.desired import DesiredState
from service.control.journal import Journal
from service.control.monitor import StateMonitor
from service.control.quarantine import Quarantine
from service.control.sqlite_journal import SqliteJournal
from service.core.errors import FetchFailedError, ServiceError, SourceUnavailableError
from service.core.status_reporter import Herald, Silence
from service.core.versions import ModelVersion
from service.handlers import problems
from service.handlers.control import health, journal, model, webhooks
from service.handlers.guards import known_names
from service.handlers.host_names import HostNames
from service.handlers.naming import ReplyNames
from service.handlers.predictions import predict
from service.handlers.predictions.direct import DirectAnswers
from service.handlers.request_id import RequestIds
from service.predictors.answer_rules import AnswerRules
from service.processes.child import ChildSpec, ChildThreads
from service.processes.own_memory import hide_memory
from service.processes.single_process import refuse_many_workers
from service.processes.temp import TempFolder
from service.registry.descriptions import Descriptions
from service.registry.finder import VersionFinder
from service.registry.messages import (
    DOWNLOAD,
    FETCH_MEMORY_BYTES,
    RESOLVE,
    SCOUT_TARGET,
    TAG,
    DownloadReply,
    DownloadRequest,
    ResolveReply,
    ResolveRequest,
    ScoutSettings,
    TagReply,
    TagRequest,
)
from service.registry.pointer import model_of, pointer_of
from service.registry.process import Scout
from service.registry.sources import ScoutSource
from service.registry.webhook import Deliveries
from service.registry.write_back import WriteBack
from service.serving.batching.batcher import BatchSettings
from service.serving.dataplane import DataPlane
from service.serving.model import ModelHost
from service.serving.slot import Slot
from service.settings.settings import Settings, SettingsError, load_settings, read_dotenv
from service.store.artifact_store import ArtifactStore
from service.store.compiled_files import CompiledFiles
from service.store.pointer_state import Remembered
from service.telemetry.logging import configure_logging
from service.watcher.gates.chain import row_of_gates
from service.watcher.gates.gate import Gate
from service.watcher.loop import watch
from service.watcher.probation import ProbationSettings
from service.watcher.reconciler import Reconciler
from service.watcher.rollout import Rollout
from service.workers.cpus import spin_for_each_worker, threads_for_each_worker
from service.workers.factory import WorkerStarter
from service.workers.pool_settings import PoolSettings
from service.workers.variables import REGISTRY_URI, TRACKING_URI, WorkerVariables

_COLLECT_AFTER = (20_000, 20, 100)
"""New objects until the young are looked at, and how many such looks until the older ones are."""
_FETCH_READ_S = 60.0
"""How long a download may bring nothing at all before it is tried again."""
_LOCK_SLACK_S = 60.0
"""Over FETCH_TIMEOUT_S, for which a version's lock is waited for."""
_QUEUED_BODIES = 8
"""Of the largest size: so many may wait for a worker where MAX_QUEUE_BYTES says nothing."""
_POLL_SHARE = 0.8
"""Of REGISTRY_TIMEOUT_S: what one HTTP request may take, so that its own error comes first."""


class Backstage(msgspec.Struct, frozen=True):
    """What brings a version from the registry into workers; knows nothing of HTTP."""

    source: ScoutSource
    finder: VersionFinder
    store: ArtifactStore
    host: ModelHost
    gates: tuple[Gate, ...]
    tag: Callable[[TagRequest], Awaitable[TagReply]]


@asynccontextmanager
async def open_backstage(
    settings: Settings,
    temp: TempFolder | None = None,
    credentials: Mapping[str, str] = MappingProxyType({}),
) -> AsyncIterator[Backstage]:
    """Open the scouts, the store and what hosts versions; end every scout afterwards.

    A folder for temporary files is made where this process has none yet. `credentials` are
    variables that scouts get and model code does not.
    """
    threads = ChildThreads()
    if temp is None:
        temp = await anyio.to_thread.run_sync(temp_folder, settings.cache_dir)
        temp.use()
    temp_dir = temp.path
    patience_s = settings.registry_timeout_s * _POLL_SHARE
    environment = {
        **credentials,
        TRACKING_URI: settings.mlflow_tracking_uri,
        "MLFLOW_DISABLE_TELEMETRY": os.environ.get("MLFLOW_DISABLE_TELEMETRY", "true"),
    }
    # Empty where none is set: then the server's own choice counts, whatever this process inherited.
    environment["MLFLOW_WORKSPACE"] = settings.mlflow_workspace
    if settings.mlflow_registry_uri:
        environment[REGISTRY_URI] = settings.mlflow_registry_uri
    variables = WorkerVariables(settings.worker_env)

    def scout(
        name: str,
        patience: ScoutSettings,
        unanswered: type[SourceUnavailableError | FetchFailedError],
    ) -> Scout:
        arguments = msgspec.msgpack.encode(patience)
        spec = ChildSpec(SCOUT_TARGET, name, arguments, temp_dir, environment)
        return Scout(spec, threads, settings.start_timeout_s, unanswered)

    poller = scout("scout-poll", ScoutSettings(patience_s), SourceUnavailableError)
    fetcher = scout(
        "scout-fetch", ScoutSettings(_FETCH_READ_S, 2, FETCH_MEMORY_BYTES), FetchFailedError
    )
    tagger = scout("scout-tag", ScoutSettings(patience_s), SourceUnavailableError)

    async def ask(request: ResolveRequest) -> ResolveReply:
        reply = await poller.ask(RESOLVE, request, ResolveReply, settings.registry_timeout_s)
        if reply.version is None or request.ref.name or not settings.model_name:
            return reply
        # A run or logged model under the name that the operator gave it, and with its contract.
        named = msgspec.structs.replace(reply.version, name=settings.model_name)
        return ResolveReply(named, reply.note)

    async def fetch(version: ModelVersion, destination: Path) -> Path:
        request = DownloadRequest(version, str(destination))
        reply = await fetcher.ask(DOWNLOAD, request, DownloadReply, settings.fetch_timeout_s)
        return Path(reply.path)

    async def tag(request: TagRequest) -> TagReply:
        return await tagger.ask(TAG, request, TagReply, settings.registry_timeout_s)

    lock_limit_s = settings.fetch_timeout_s + _LOCK_SLACK_S
    store = ArtifactStore(settings.cache_dir, settings.keep_versions, fetch, lock_limit_s)
    await store.open()
    threads_per_worker = await anyio.to_thread.run_sync(
        threads_for_each_worker, settings.threads_per_worker, settings.workers
    )
    spin_s = await anyio.to_thread.run_sync(
        spin_for_each_worker, settings.worker_spin_us / 1e6, settings.workers
    )
    pool = PoolSettings(
        workers=settings.workers,
        threads=threads_per_worker,
        start_timeout_s=settings.start_timeout_s,
        load_timeout_s=settings.load_timeout_s,
        heartbeat_interval_s=settings.heartbeat_interval_s,
        heartbeat_timeout_s=10 * settings.heartbeat_interval_s,
        refuse_unknown=settings.unknown_fields == "refuse",
        temp_dir=temp_dir,
        environment=variables.without_credentials(environment),
        spin_s=spin_s,
        answers=AnswerRules(
            any_rows=settings.rows_out == "any",
            non_finite_is_null=settings.non_finite == "null",
        ),
    )
    batching = BatchSettings(
        max_rows=settings.max_batch_rows,
        max_wait_s=settings.max_batch_wait_ms / 1000,
        request_timeout_s=settings.request_timeout_s,
        queue_rows=settings.max_queue_rows,
        queue_bytes=settings.max_queue_bytes or _QUEUED_BODIES * settings.max_body_bytes,
    )
    descriptions = Descriptions(fetcher)
    gates = row_of_gates(settings, descriptions.of)
    compiler = None
    if settings.compiled != "off" and settings.rows_out == "same":
        files = CompiledFiles(settings.cache_dir / "compiled", temp_dir, settings.compiled_rtol)
        compiler = Compiler(files, pool, threads, descriptions.of)
    try:
        yield Backstage(
            source=ScoutSource(settings.ref, ask),
            finder=VersionFinder(settings.ref, model_of(settings), ask, store),
            store=store,
            host=ModelHost(WorkerStarter(pool, threads), batching, compiler, store.ensure),
            gates=gates,
            tag=tag,
        )
    finally:
        with anyio.CancelScope(shield=True):
            async with anyio.create_task_group() as ends:
                for one in (poller, fetcher, tagger):
                    ends.start_soon(one.close)


def create_app(
    settings: Settings | None = None,
    temp: TempFolder | None = None,
    credentials: Mapping[str, str] = MappingProxyType({}),
) -> Litestar:
    """Make the service as an ASGI application.

    Without settings they are read from `.env` and the environment, and a wrong one ends the
    process with one line and status 2, so that any ASGI server can be given this as a factory.
    Raise SettingsError, given settings, where CACHE_DIR can't be written to. `credentials` were
    taken out of the environment by whoever read the settings; without settings the application
    does that itself once it starts, since a factory may be called twice.
    """
    reads_environment = settings is None
    if settings is None:
        refuse_many_workers()
        settings = _settings_or_exit()
        configure_logging(settings.log_level, settings.log_format)
    if caution := require_writable(settings.cache_dir):
        structlog.get_logger(__name__).warning("CACHE_DIR is not safe", reason=caution)
    slot, desired, monitor = Slot(), DesiredState(), StateMonitor()
    dataplane = DataPlane(slot, settings.raw_body_bytes, settings.max_body_bytes)
    names = ReplyNames(settings.ref)
    kept = SqliteJournal(settings.cache_dir / "journal.db", pointer_of(settings))
    wired = settings

    @asynccontextmanager
    async def lifespan(_: Litestar) -> AsyncIterator[None]:
        given = credentials
        if reads_environment:
            hide_memory()
            given = WorkerVariables(wired.worker_env).withhold()
        async with (
            open_backstage(wired, temp, given) as backstage,
            kept.open(),
            _watching(wired, backstage, slot, desired, monitor, kept),
        ):
            # What is here stays. A look for garbage at all of it, or every few requests, would
            # cost more than it finds: what a request makes is gone with it.
            gc.freeze()
            gc.set_threshold(*_COLLECT_AFTER)
            yield

    app = Litestar(
        route_handlers=[
            predict.predict,
            health.live,
            health.health,
            model.info,
            model.reload_model,
            model.pin,
            model.unpin,
            journal.journal_entries,
            *([webhooks.mlflow_webhook] if settings.webhook_secret else []),
        ],
        lifespan=[lifespan],
        dependencies={
            "dataplane": _given(dataplane),
            "names": _given(names),
            "slot": _given(slot),
            "desired": _given(desired),
            "deliveries": _given(Deliveries(settings.webhook_secret)),
            "monitor": _given(monitor),
            "journal": _given(kept),
            "settings": _given(settings),
            "ref": _given(settings.ref),
        },
        exception_handlers={
            ServiceError: problems.answer_service_error,
            HTTPException: problems.answer_http_error,
            Exception: problems.answer_unexpected,
        },
        guards=[known_names],
        request_max_body_size=settings.max_body_bytes,
        openapi_config=OpenAPIConfig(
            title="mlflow-hotswap",
            version="1",
            description="Serves what the MLflow registry promotes.",
            # No page: the framework's fetch scripts from other hosts.
            render_plugins=[JsonRenderPlugin(), YamlRenderPlugin()],
        ),
        logging_config=None,
    )
    named = RequestIds(app.asgi_handler)
    host_names = HostNames(settings.host, settings.allowed_hosts)
    app.asgi_handler = DirectAnswers(
        named, dataplane, names, settings.max_body_bytes, host_names.may_call
    )
    app.state.host_names = host_names
    app.state.settings = settings
    app.state.monitor = monitor
    return app


@asynccontextmanager
async def _watching(
    settings: Settings,
    backstage: Backstage,
    slot: Slot,
    desired: DesiredState,
    monitor: StateMonitor,
    journal: Journal,
) -> AsyncIterator[None]:
    """Follow the registry meanwhile; then let accepted requests finish, and end every worker."""
    async with anyio.create_task_group() as nursery:
        nursery.start_soon(backstage.host.starter.keep_spare)
        quarantine = Quarantine()
        herald: Herald = Silence()
        # A run or a logged model has no version in the registry to write on.
        if settings.write_back and settings.ref.name:
            herald = write_back = WriteBack(backstage.tag, platform.node())
            nursery.start_soon(write_back.run)
        rollout = Rollout(
            store=backstage.store,
            host=backstage.host,
            gates=backstage.gates,
            slot=slot,
            monitor=monitor,
            journal=journal,
            nursery=nursery,
            drain_timeout_s=settings.drain_timeout_s,
            pointer=pointer_of(settings),
            probation=ProbationSettings(
                duration_s=settings.probation_s,
                max_error_rate=settings.probation_max_error_rate,
                keep_warm=settings.keep_warm,
                alpha=settings.probation_alpha,
            ),
            quarantine=quarantine,
            herald=herald,
            wake=desired.wake,
        )
        reconciler = Reconciler(
            source=backstage.source,
            rollout=rollout,
            slot=slot,
            desired=desired,
            monitor=monitor,
            nursery=nursery,
            quarantine=quarantine,
            remembered=Remembered(settings.cache_dir, pointer_of(settings)),
            finder=backstage.finder,
            store=backstage.store,
            pointer=pointer_of(settings),
            on_unpromoted=settings.on_unpromoted,
        )
        async with anyio.create_task_group() as watching:
            watching.start_soon(watch, reconciler, desired, monitor, settings.poll_interval_s)
            yield
            await anyio.to_thread.run_sync(backstage.host.starter.threads.give_up_first_start)
            watching.cancel_scope.cancel()
        current = slot.current
        if current is not None:
            with anyio.move_on_after(settings.drain_timeout_s):
                await current.drained()
        nursery.cancel_scope.cancel()


def _settings_or_exit() -> Settings:
    try:
        read_dotenv()
        settings = load_settings()
        require_writable(settings.cache_dir)
    except SettingsError as error:
        sys.stderr.write(f"hotswap: {error}\n")
        raise SystemExit(2) from None
    return settings


def _given(value: Any) -> Provide:
    """Provide a part that was made before the application was."""
    give: Callable[[], Any] = lambda: value  # noqa: E731 - a def would be no shorter
    return Provide(give, sync_to_thread=False)
