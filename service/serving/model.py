"""A loaded version: its contract, its workers and its queue, opened and closed together."""

from collections.abc import Callable, Sequence
from contextlib import AbstractAsyncContextManager, nullcontext
from datetime import UTC, datetime
from functools import partial
from typing import Any, Protocol

import anyio
import anyio.to_thread
import msgspec
import structlog
from anyio.abc import TaskStatus

from service.compiling.compilation import Compiler
from service.compiling.steps import CompileSteps, Compiling
from service.contracts.choose import contract_for
from service.contracts.contract import Contract
from service.core.environments import SHARED, BuildReport, Environment
from service.core.errors import ServiceError
from service.core.versions import ModelVersion, StoredVersion
from service.serving.batching.batcher import Batcher, BatchSettings
from service.serving.failed_request import FailedRequest
from service.serving.interface import Interface
from service.serving.proof import Proof
from service.serving.record import Known, Record
from service.telemetry.observer import NULL_OBSERVER, Observer
from service.workers.factory import WorkerFactory
from service.workers.messages import LoadReply
from service.workers.pool import Pool
from service.workers.pool_settings import PoolSettings
from service.workers.stored_files import Restore

_log = structlog.get_logger("model")


class Trial(Protocol):
    """What watches a version for failures."""

    def failed(self, failed: FailedRequest) -> None:
        """Hear of a request that the version failed; returns immediately."""
        ...

    def told(self) -> dict[str, Any]:
        """Return how things stand, as JSON for people."""
        ...


class LoadedModel:
    """What a deployment's routes lead to and a request leases.

    `run` hosts its processes and its queue; `close` ends them once nobody holds a lease.
    """

    def __init__(
        self,
        stored: StoredVersion,
        interface: Interface,
        loaded: LoadReply,
        pool: Pool,
        batching: BatchSettings,
        observer: Observer = NULL_OBSERVER,
    ) -> None:
        self.stored = stored
        self.interface = interface
        self.loaded = loaded
        self.pool = pool
        self.batcher = Batcher(
            pool.members, batching, version=stored.version, row_wise=False, observer=observer
        )
        self.serving_since: datetime | None = None
        """When it began to serve; None for one that never did."""
        self.compiling = Compiling(loaded)
        """What became of its compiled predictors."""
        self.built: BuildReport | None = None
        """How its environment came to be there; None where none was looked for."""
        self.proof: Proof | None = None
        """What it was opened to traffic with; None for one that was not."""
        self.leases = 0
        self.answered = 0
        """Requests that it answered."""
        self.failed = 0
        """Requests that failed by its fault: it raised, crashed, took too long, was not finite."""
        self.trial: Trial | None = None
        """Where it is watched for such requests, or was."""
        self._record = Record()
        self.closed = anyio.Event()
        """Set once its processes are gone."""
        self._closing = anyio.Event()
        self._unleased = anyio.Event()

    @property
    def version(self) -> ModelVersion:
        """The version that this is."""
        return self.stored.version

    @property
    def contract(self) -> Contract:
        """What its callers send and get."""
        return self.interface.contract

    @property
    def can_answer(self) -> bool:
        """Whether some worker of it is known to be alive."""
        return self.pool.size > 0

    def close(self) -> None:
        """Have its host end its queue and its workers."""
        self._closing.set()

    async def wait_closing(self) -> None:
        """Return once `close` was called."""
        await self._closing.wait()

    def open_to_traffic(self, proof: Proof) -> None:
        """Let requests come to a version that has passed every gate."""
        self.proof = proof
        self.batcher.row_wise = proof.row_wise
        self.batcher.learn(proof.timings)

    def begin_to_serve(self) -> None:
        """Note the time, for people. Raise RuntimeError for one that is not open to traffic."""
        if self.proof is None:
            raise RuntimeError(f"version {self.version.version} was not proved")
        self.serving_since = datetime.now(UTC)

    def note_failure(self, failed: FailedRequest) -> None:
        """Count a request that failed by its fault, and tell what watches it."""
        self.failed += 1
        self._record.note_failure(self.answered + self.failed)
        if self.trial is not None:
            self.trial.failed(failed)

    @property
    def known(self) -> Known:
        """What its last requests tell of how often it fails."""
        return self._record.known(self.answered + self.failed)

    def take_lease(self) -> None:
        """Count one more request that may use this version."""
        self.leases += 1

    def release_lease(self) -> None:
        """Count one less."""
        self.leases -= 1
        if not self.leases:
            self._unleased.set()

    async def drained(self) -> None:
        """Return once no request holds a lease. Only for a version that gets no new ones."""
        while self.leases:
            self._unleased = anyio.Event()
            await self._unleased.wait()


class ModelHost(msgspec.Struct, frozen=True):
    """What it takes to open any version of a deployment."""

    factory: WorkerFactory
    pool: PoolSettings
    batching: BatchSettings
    compiler: Compiler | None = None
    """None where models are called through pyfunc alone."""
    restore: Restore | None = None
    """How files are restored that a model has changed in the store."""
    load_turn: Callable[[], AbstractAsyncContextManager[None]] = nullcontext
    """What a load waits for, so that many versions don't load together on few CPUs."""
    observer: Observer = NULL_OBSERVER
    """What is told of the deployment's workers and batches."""
    label: str = ""
    """The pointer that is followed, as its answers name it."""

    async def run(
        self,
        stored: StoredVersion,
        environment: Environment = SHARED,
        *,
        task_status: TaskStatus[LoadedModel],
    ) -> None:
        """Load a version in an environment, report it, and host it until it is closed.

        Raise, before anything is reported, what `Pool.run` and `contract_for` raise. Afterwards
        nothing is raised: what fails then must not take down what else serves.
        """
        async with self.factory.fork_servers.using(environment, self.pool.process.temp_dir):
            await self._host(stored, environment, task_status)

    async def _host(
        self,
        stored: StoredVersion,
        environment: Environment,
        task_status: TaskStatus[LoadedModel],
    ) -> None:
        compiler = self.compiler
        kept = await compiler.kept(stored, environment) if compiler is not None else ""
        opened: list[LoadedModel] = []
        # The pool's workers are free for the queue once there is one.
        on_free = partial(_dispatch, opened)
        pool = Pool(
            *(stored, self.factory, self.pool, kept, self.restore, on_free, self.observer),
            environment=environment,
        )
        failure: ServiceError | None = None
        try:
            async with anyio.create_task_group() as parts:
                steps = CompileSteps(compiler, pool) if compiler is not None else None
                if steps is not None and not kept:
                    parts.start_soon(steps.compile_first)
                try:
                    async with self.load_turn():
                        loaded = await parts.start(pool.run)
                    interface = await anyio.to_thread.run_sync(self._interface, stored, loaded)
                except ServiceError as error:
                    failure = error
                else:
                    model = self._model(stored, interface, loaded, pool)
                    opened.append(model)
                    parts.start_soon(model.batcher.run)
                    if steps is not None:
                        parts.start_soon(steps.compile_and_activate, model.compiling)
                    task_status.started(model)
                    await model.wait_closing()
                parts.cancel_scope.cancel()
        except Exception:
            if not opened:
                raise
            _log.exception("version collapsed", version=stored.version.version)
        finally:
            for model in opened:
                model.closed.set()
        if failure is not None:
            raise failure

    def _model(
        self, stored: StoredVersion, interface: Interface, loaded: LoadReply, pool: Pool
    ) -> LoadedModel:
        return LoadedModel(stored, interface, loaded, pool, self.batching, self.observer)

    def _interface(self, stored: StoredVersion, loaded: LoadReply) -> Interface:
        name, unknown = stored.version.name, self.pool.refuse_unknown
        contract = contract_for(name, loaded.signature, refuse_unknown=unknown)
        return Interface.of(contract, stored.version, self.label)


def _dispatch(opened: Sequence[LoadedModel]) -> None:
    """Hand what waits to workers that are free."""
    for model in opened:
        model.batcher.dispatch()
