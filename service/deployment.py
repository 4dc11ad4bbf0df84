"""One followed pointer: what is wanted, what serves, and how the one becomes the other."""

import platform as machine
from pathlib import Path

import anyio
import msgspec
from anyio.abc import TaskGroup, TaskStatus

from service.compiling.compilation import Compiler
from service.compiling.files import CompiledFiles
from service.control.desired import DesiredState
from service.control.journal import JournalReader
from service.control.needs import PointerNeeds
from service.control.pointer_state import PointerState
from service.control.sqlite_journal import SqliteJournal
from service.control.state import ControlState
from service.control.status import Status
from service.core.environments import EnvironmentSettings
from service.core.versions import ModelRef, ModelVersion
from service.platform import Platform
from service.predictors.answer_rules import AnswerRules, NonFinite
from service.registry.address import RegistryAddress, pointer_of
from service.registry.finder import VersionFinder
from service.registry.messages import (
    FindSignaturesReply,
    FindSignaturesRequest,
    ResolveReply,
    ResolveRequest,
)
from service.registry.poll_times import Polls
from service.registry.registry import Registry
from service.registry.sources import RegistrySource
from service.registry.write_back import WriteBack
from service.serving.batching.batcher import BatchSettings
from service.serving.model import ModelHost
from service.serving.routes import Routes
from service.settings.deployment import DeploymentSettings
from service.store.artifact_store import ArtifactStore
from service.telemetry.fan_out import fan_out
from service.telemetry.log_observer import LogObserver
from service.watcher.building import BuildStep
from service.watcher.gates.chain import gate_chain
from service.watcher.gates.signature import SignatureGate
from service.watcher.loop import watch
from service.watcher.probation import ProbationSettings
from service.watcher.reconciler import Reconciler
from service.watcher.rollout import Rollout
from service.watcher.versions import LoadedVersions
from service.workers.pool_settings import PoolSettings

_LOCK_SLACK_S = 60.0
"""A version's lock is waited for this much longer than FETCH_TIMEOUT_S."""
_QUEUED_BODIES = 8
"""So many bodies of the largest size may wait for a worker where MAX_QUEUE_BYTES says nothing."""


class Deployment:
    """One model, as requests and operators ask about it. `run` follows its pointer meanwhile."""

    def __init__(self, name: str, settings: DeploymentSettings, platform: Platform) -> None:
        self.name = name
        self.settings = settings
        self.ref: ModelRef = settings.ref
        self.label = self.ref.label
        """The pointer as people write it, which answers repeat."""
        self.address = RegistryAddress.of(settings)
        self.routes = Routes()
        self.desired = DesiredState()
        self._platform = platform
        self._registry: Registry = platform.registry(self.address)
        self._pointer = pointer_of(settings, name)
        cache_dir = platform.settings.cache_dir
        self._journal = SqliteJournal(cache_dir / "journal.db", self._pointer.name)
        self.journal: JournalReader = self._journal
        self.source = RegistrySource(self.ref, self._ask)
        self.store = ArtifactStore(
            cache_dir,
            platform.settings.keep_versions,
            self._fetch,
            settings.fetch_timeout_s + _LOCK_SLACK_S,
            platform.store_threads,
        )
        self.change = ""
        """Why new settings for it are not in force yet; '' where none wait."""
        self._leaving = anyio.Event()
        self.build_step = self._build_step()
        """What gives versions environments of their own; None where all share the service's."""
        self.gates = gate_chain(settings, platform.describe, self._signature_gate())
        # A run or a logged model has no version in the registry to write on.
        writes_back = settings.write_back and self.ref.name
        self._write_back = WriteBack(self._registry.tag, machine.node()) if writes_back else None
        observers = [*platform.observe(name), LogObserver(name)]
        if self._write_back is not None:
            observers.append(self._write_back)
        self.observer = fan_out(observers)
        """Is told of each event here."""
        self._state = ControlState(
            PointerState(cache_dir, self._pointer.name),
            PointerNeeds(self.store, self._pointer.name),
            self._journal,
            self.observer,
        )

    @property
    def model_name(self) -> str:
        """The model's name as people see it; that of the version that serves, where one does."""
        current = self.routes.current
        return current.version.name if current else self.settings.reported_name or self.name

    @property
    def status(self) -> Status:
        """The status now. The watcher alone changes it; others ask for changes by `desired`."""
        return self._state.status()

    @property
    def can_answer(self) -> bool:
        """Whether some worker of the serving version lives."""
        current = self.routes.current
        return current is not None and current.can_answer

    @property
    def why_not(self) -> str:
        """Why what is wanted does not serve, in words for people."""
        return self.status.why_not(self.ref.uri)

    async def open(self) -> None:
        """Open what it keeps on the disk: its versions, and their environments where it has any."""
        await self.store.open()
        if self.build_step is not None:
            await self._platform.environments.open()

    async def run(self, *, task_status: TaskStatus[None] = anyio.TASK_STATUS_IGNORED) -> None:
        """Follow the pointer until `leave`; then let accepted requests finish, and end all of it.

        Report once it follows. What it raises is a fault of ours: nothing that a model, a registry
        or a disk does gets so far.
        """
        await self.open()
        host = self.host()
        async with self._journal.open(), anyio.create_task_group() as tasks:
            async with anyio.create_task_group() as watching:
                reconciler = self._reconciler(host, tasks)
                polls = Polls(
                    self._platform.poll_times,
                    self.settings.poll_interval_s,
                    self._registry.looks_singly,
                )
                watching.start_soon(watch, reconciler, self.desired, self._state, polls)
                task_status.started()
                await self._leaving.wait()
                watching.cancel_scope.cancel()
            current = self.routes.current
            if current is not None:
                with anyio.move_on_after(self.settings.drain_timeout_s):
                    await current.drained()
            # A request that found this deployment earlier is told that nothing answers here.
            self.routes.swap(None)
            tasks.cancel_scope.cancel()

    def leave(self) -> None:
        """Have `run` end: no request comes any more."""
        self._leaving.set()

    def host(self) -> ModelHost:
        """Return what opens versions as this deployment's settings say."""
        settings, platform = self.settings, self._platform
        pool = self._pool_settings()
        compiler = None
        if settings.compiled != "off" and settings.rows_out == "same":
            files = CompiledFiles(
                platform.settings.cache_dir / "compiled", platform.temp_dir, settings.compiled_rtol
            )
            compiler = Compiler(
                files, pool, platform.workers, platform.describe, platform.compile_turns
            )
        batching = BatchSettings(
            max_rows=settings.max_batch_rows,
            max_wait_s=settings.max_batch_wait_ms / 1000,
            request_timeout_s=settings.request_timeout_s,
            queue_rows=settings.max_queue_rows,
            queue_bytes=settings.max_queue_bytes
            or _QUEUED_BODIES * platform.settings.max_body_bytes,
        )
        return ModelHost(
            factory=platform.workers,
            pool=pool,
            batching=batching,
            compiler=compiler,
            restore=self.store.ensure,
            load_turn=platform.cpus.load_turn,
            observer=self.observer,
            label=self.label,
        )

    def _pool_settings(self) -> PoolSettings:
        """Return what each version's workers have."""
        settings, platform = self.settings, self._platform
        return PoolSettings(
            workers=platform.cpus.workers(settings.workers),
            threads=platform.cpus.threads(settings.threads_per_worker),
            load_timeout_s=settings.load_timeout_s,
            refuse_unknown=settings.unknown_fields == "refuse",
            process=platform.process_settings(self.address, settings.limits),
            answers=AnswerRules(
                any_rows=settings.rows_out == "any",
                non_finite_is_null=settings.non_finite == "null",
                scored_non_finite=NonFinite(settings.invocations_nonfinite),
            ),
        )

    def _build_step(self) -> BuildStep | None:
        settings = self.settings
        if settings.environment == "shared":
            return None
        wanted = EnvironmentSettings(
            mode=settings.environment,
            timeout_s=settings.env_timeout_s,
            allow_sdist=settings.allow_sdist,
            allow_urls=settings.env_allow_urls,
            cache_bytes=self._platform.settings.env_cache_bytes,
        )
        return BuildStep(self._platform.environments, wanted)

    def _signature_gate(self) -> SignatureGate | None:
        """Return the gate that REQUIRE_SIGNED asks for; None where that is not set."""
        keys, platform = self.settings.trusted_keys, self._platform
        if keys is None:
            return None
        return SignatureGate(keys, self._find_signatures, platform.verify, platform.temp_dir)

    def _reconciler(self, host: ModelHost, tasks: TaskGroup) -> Reconciler:
        """Wire what a promotion passes; versions and reports live in a task group."""
        settings = self.settings
        if self._write_back is not None:
            tasks.start_soon(self._write_back.run)
        versions = LoadedVersions(
            store=self.store,
            host=host,
            routes=self.routes,
            tasks=tasks,
            drain_timeout_s=settings.drain_timeout_s,
            observer=self.observer,
        )
        probation = ProbationSettings(
            duration_s=settings.probation_s,
            max_error_rate=settings.probation_max_error_rate,
            keep_warm=settings.keep_warm,
            alpha=settings.probation_alpha,
        )
        return Reconciler(
            source=self.source,
            finder=VersionFinder(self.ref, self._pointer.model, self._ask, self.store),
            desired=self.desired,
            state=self._state,
            rollout=Rollout(
                self._state, versions, self.gates, probation, self.desired.wake, self.build_step
            ),
            on_unpromoted=settings.on_unpromoted,
        )

    async def _ask(self, request: ResolveRequest) -> ResolveReply:
        """Ask the registry; a run or logged model gets the name that the operator gave it."""
        reply = await self._registry.resolve(request)
        given = self.settings.model_name
        if reply.version is None or request.ref.name or not given:
            return reply
        return ResolveReply(msgspec.structs.replace(reply.version, name=given), reply.note)

    async def _find_signatures(
        self, version: ModelVersion, destination: Path
    ) -> FindSignaturesReply:
        place = self.settings.signatures_place
        request = FindSignaturesRequest(version, place, str(destination))
        return await self._registry.find_signatures(request, self.settings.fetch_timeout_s)

    async def _fetch(self, version: ModelVersion, destination: Path) -> Path:
        return await self._registry.fetch(version, destination, self.settings.fetch_timeout_s)
