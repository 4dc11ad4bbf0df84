"""A store and a host without files and processes, whose versions do as they are told."""

from collections.abc import AsyncIterator, Collection
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import anyio
import msgspec
from anyio.abc import TaskStatus

from service.contracts.choose import contract_for
from service.contracts.contract import Call, Predictions
from service.core.described import Described
from service.core.environments import SHARED, Environment
from service.core.errors import ChildTimeoutError, ModelFailedError, ServiceError
from service.core.versions import ModelVersion, StoredVersion
from service.processes.child_threads import ChildThreads
from service.serving.batching.batcher import BatchSettings
from service.serving.failed_request import FailedRequest
from service.serving.interface import BodyLimits, EncodedRequest, Interface
from service.serving.model import LoadedModel, ModelHost
from service.store.pointer_file import Memory, Refusal
from service.workers.factory import WorkerFactory
from service.workers.handle import WorkerHandle
from service.workers.messages import LoadReply, SmokeReply
from service.workers.pool import Pool
from service.workers.pool_settings import PoolSettings, ProcessSettings

POOL = PoolSettings(
    workers=1,
    threads=1,
    load_timeout_s=300,
    refuse_unknown=False,
    process=ProcessSettings(
        temp_dir=Path("nowhere"), variables={}, start_timeout_s=60, heartbeat_interval_s=1
    ),
)
BATCHING = BatchSettings(100, 0.002, 30)
CONTRACT = contract_for(
    "m",
    {
        "inputs": '[{"type": "double", "name": "a", "required": true}]',
        "outputs": '[{"type": "double", "name": "y", "required": true}]',
        "params": None,
    },
    refuse_unknown=False,
)

INTERFACE = Interface.of(CONTRACT, ModelVersion("r", "m", "1", "", "", 0))
LIMITS = BodyLimits(raw_body_bytes=1_000, max_decoded_bytes=8_000)


class Fate(msgspec.Struct):
    """What happens to a version, step by step: how long it takes, and what it raises."""

    fetch_s: float = 1.0
    fetch_error: Exception | None = None
    load_s: float = 1.0
    load_error: Exception | None = None
    smoke_s: float = 1.0
    smoke_error: Exception | None = None
    smoke_refusal: str = ""


class Fates:
    """Each version's fate, by its number; a version that has none does well."""

    def __init__(self) -> None:
        self.by_number: dict[str, Fate] = {}

    def of(self, version: ModelVersion) -> Fate:
        """Return a version's fate."""
        return self.by_number.get(version.version, Fate())


class FakeInUse:
    """A mark without a lock."""

    def __init__(self, stored: StoredVersion, store: "FakeStore") -> None:
        self.stored = stored
        self._fake_store = store

    async def release(self) -> None:
        """Take the mark away, or say what went wrong."""
        self._fake_store.marks.discard(self)
        if self._fake_store.release_error is not None:
            raise self._fake_store.release_error


class FakeStore:
    """Versions that are nowhere; `marks` are those in use, `good` those marked good."""

    def __init__(self, fates: Fates) -> None:
        self._fates = fates
        self.fetched: list[ModelVersion] = []
        self.fetching: list[ModelVersion] = []
        self.marks: set[FakeInUse] = set()
        self.good: list[ModelVersion] = []
        self.trouble = ""
        self.tidying_error: Exception | None = None
        self.last_good_error: Exception | None = None
        self.release_error: Exception | None = None

    async def ensure_in_use(self, version: ModelVersion) -> FakeInUse:
        """Take the time that fetching takes."""
        self.fetched.append(version)
        fate = self._fates.of(version)
        self.fetching.append(version)
        try:
            await anyio.sleep(fate.fetch_s)
        finally:
            self.fetching.remove(version)
        if fate.fetch_error is not None:
            raise fate.fetch_error
        mark = FakeInUse(StoredVersion(version, Path(version.key), "digest"), self)
        self.marks.add(mark)
        return mark

    async def mark_good(self, stored: StoredVersion, pointer: str) -> None:
        """Remember it, as the last one; the same once more changes nothing."""
        del pointer
        if self.tidying_error is not None:
            raise self.tidying_error
        if self.good[-1:] != [stored.version]:
            self.good.append(stored.version)

    async def mark_serving(self, version: ModelVersion, pointer: str) -> None:
        """Remember nothing."""

    async def mark_promoted(self, version: ModelVersion | None, pointer: str) -> None:
        """Remember nothing."""

    async def touch(self, pointer: str) -> None:
        """Remember nothing."""

    async def last_good(self, pointer: str) -> StoredVersion | None:
        """Return what was marked last."""
        del pointer
        if self.last_good_error is not None:
            raise self.last_good_error
        if not self.good:
            return None
        return StoredVersion(self.good[-1], Path(self.good[-1].key), "digest")

    async def known(self) -> list[StoredVersion]:
        """Return every version that was ever fetched, once."""
        return [StoredVersion(v, Path(v.key), "digest") for v in dict.fromkeys(self.fetched)]

    async def prune(self) -> list[str]:
        """Remove nothing."""
        return []


class FakeRemembered:
    """A memory without a file, that lasts as long as the object."""

    def __init__(self) -> None:
        self.memory = Memory()
        self.held = self.trouble = ""

    async def recall(self) -> Memory | None:
        """Return what was remembered, unless it is unknown."""
        return None if self.held else self.memory

    async def remember_pin(self, pin: ModelVersion | None) -> None:
        """Remember it."""
        self.held = ""
        self.memory = msgspec.structs.replace(self.memory, pin=pin)

    async def remember_refusals(
        self, refusals: Collection[Refusal], lifted: Collection[ModelVersion]
    ) -> None:
        """Remember them."""
        del lifted
        self.memory = msgspec.structs.replace(self.memory, refusals=tuple(refusals))


class ReplayWorker:
    """A worker that is asked again what another version failed."""

    def __init__(self, pool: "FakePool") -> None:
        self._pool = pool

    async def predict(self, call: Call, timeout_s: float) -> Predictions:
        """Answer each row, or do what its pool was told."""
        del timeout_s
        self._pool.replayed.append(call)
        await anyio.sleep(self._pool.replay_s)
        if self._pool.replay_error is not None:
            raise self._pool.replay_error
        answers: list[Any] = [1.0] * call.rows
        return Predictions(call.rows, ["y"], [answers], [""], [[]], self._pool.replay_non_finite)


class FakePool(Pool):
    """A pool without workers: alive while it is hosted."""

    def __init__(
        self, stored: StoredVersion, fate: Fate, environment: Environment = SHARED
    ) -> None:
        super().__init__(stored, WorkerFactory(ChildThreads()), POOL, environment=environment)
        self.alive = True
        self.proved = False
        """Whether it has ever answered its example rightly."""
        self._fate = fate
        self.replayed: list[Call] = []
        """The requests that it was asked again."""
        self.replay_s = 0.01
        self.replay_error: ServiceError | None = None
        self.replay_non_finite: list[int] = []
        self.is_free = True
        """Whether a worker can be had for a replay."""
        self.loaded_apart = 0

    @asynccontextmanager
    async def acquire(self) -> AsyncIterator[WorkerHandle]:
        """Give a worker, or none for ever."""
        if not self.is_free:
            await anyio.sleep_forever()
        yield ReplayWorker(self)  # type: ignore[misc]

    @asynccontextmanager
    async def load_apart(self) -> AsyncIterator[WorkerHandle]:
        """Give a worker."""
        self.loaded_apart += 1
        yield ReplayWorker(self)  # type: ignore[misc]

    @property
    def size(self) -> int:
        """One worker while it is hosted."""
        return int(self.alive)

    async def smoke(self, timeout_s: float, incumbent_path: Path | None = None) -> SmokeReply:
        """Take the time that a prediction takes."""
        del incumbent_path
        with anyio.move_on_after(timeout_s):
            await anyio.sleep(self._fate.smoke_s)
            if self._fate.smoke_error is not None:
                raise self._fate.smoke_error
            self.proved = not self._fate.smoke_refusal
            return SmokeReply("its input example", 1, self._fate.smoke_refusal, True, "shown")  # noqa: FBT003
        raise ChildTimeoutError("smoke took too long")


class FakeHost(ModelHost, frozen=True):
    """Hosts models without processes; `opened` has every one that was ever loaded."""

    fates: Fates = msgspec.field(default_factory=Fates)
    opened: list[LoadedModel] = msgspec.field(default_factory=list)
    opening: list[ModelVersion] = msgspec.field(default_factory=list)
    """The models that load, or have loaded and are not closed."""
    environments: list[Environment] = msgspec.field(default_factory=list)
    """What each of them was to run in, in the order in which they were begun to be loaded."""

    async def run(
        self,
        stored: StoredVersion,
        environment: Environment = SHARED,
        *,
        task_status: TaskStatus[LoadedModel],
    ) -> None:
        """Take the time that loading takes, and host until it is closed or collapses."""
        fate = self.fates.of(stored.version)
        self.environments.append(environment)
        self.opening.append(stored.version)
        try:
            await anyio.sleep(fate.load_s)
            if fate.load_error is not None:
                raise fate.load_error
            loaded = LoadReply({}, "3", "3.11", fate.load_s)
            pool = FakePool(stored, fate, environment)
            model = LoadedModel(
                stored, Interface.of(CONTRACT, stored.version), loaded, pool, BATCHING
            )
            self.opened.append(model)
            task_status.started(model)
            try:
                await model.wait_closing()
            finally:
                pool.alive = False
                model.closed.set()
        finally:
            self.opening.remove(stored.version)


def a_host(fates: Fates) -> FakeHost:
    """Return a host of versions with these fates."""
    return FakeHost(WorkerFactory(ChildThreads()), POOL, BATCHING, fates=fates)


def fail(model: LoadedModel, number: int = 0, error: ServiceError | None = None) -> None:
    """Have a version fail a request, whose body is told from others by its number."""
    body = b'{"instances": [{"a": %d}]}' % number
    error = error or ModelFailedError("the model raised")
    model.note_failure(FailedRequest(EncodedRequest(body), error, LIMITS))


def a_failure() -> ServiceError:
    """Return something that passes."""
    return ServiceError("for now")


async def no_description(_: StoredVersion) -> Described:
    """Say nothing of a version."""
    return Described()
