"""The worker processes of one loaded version: loaded, watched by heartbeat, replaced when lost."""

import math
import time
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from pathlib import Path
from typing import TypeVar

import anyio
import structlog
from anyio.abc import TaskStatus

from service.core.environments import SHARED, Environment
from service.core.errors import ChildLostError, ChildTimeoutError, ServiceError
from service.core.text import presentable
from service.core.versions import StoredVersion
from service.predictors.engine_counts import FAULTS
from service.processes.child import Child
from service.telemetry.observer import NULL_OBSERVER, Observer
from service.workers.activation import Activation
from service.workers.factory import WorkerFactory
from service.workers.handle import WorkerHandle
from service.workers.loader import WorkerLoader
from service.workers.members import Members
from service.workers.messages import (
    ActivateReply,
    LoadReply,
    SmokeReply,
    SmokeRequest,
    SpeedReply,
    SpeedRequest,
)
from service.workers.occupancy import State, Work
from service.workers.pool_settings import PoolSettings
from service.workers.stored_files import Restore, StoredFiles

T = TypeVar("T")

_FIRST_BACKOFF_S = 0.5
_LONGEST_BACKOFF_S = 30.0
_OVERDUE_HEARTBEATS = 3.0
"""A worker that owes more heartbeats than this does not count as one that can answer."""
_STABLE_AFTER_S = 10.0
"""A worker that lived for less long crashed at its start: its successor waits for a backoff."""

_TOLD_FOR_S = 600.0
"""A worker that was ended for what it took shows in `/health` for this long."""

_SILENT = "silent"
_DOES = {State.IDLE: "idle", State.PINGED: "idle", State.HELD: "held"}
"""What workers in these states do, in a word; in all others they are busy with requests."""


def _nothing() -> None:
    """Call nobody back."""


class Pool:
    """The workers of one version. `run` hosts them; everything else may be called while it does.

    `on_free` is called whenever one of `members` may take more than before.
    """

    def __init__(
        self,
        stored: StoredVersion,
        factory: WorkerFactory,
        settings: PoolSettings,
        compiled: str = "",
        restore: Restore | None = None,
        on_free: Callable[[], None] = _nothing,
        observer: Observer = NULL_OBSERVER,
        environment: Environment = SHARED,
    ) -> None:
        self.stored = stored
        self.environment = environment
        """What its workers run in; the factory's fork server for it is to be held."""
        self.settings = settings
        self.members: Members[WorkerHandle] = Members(settings.workers, on_free)
        self._log = structlog.get_logger("pool").bind(
            model=stored.version.name, version=stored.version.version
        )
        self.activation = Activation(compiled, self._log)
        self._observer = observer
        self._files = StoredFiles(stored, restore)
        self._loader = WorkerLoader(
            *(stored, self._files, factory, settings, self.activation),
            *(self._note_counts, self._note_over_limit, environment),
        )
        self.loading = self._loader.loading
        """Set once its first worker has begun to load."""
        self._closing = anyio.Event()
        self._troubles: dict[object, str] = {}
        self._over_limit = ("", -math.inf)
        """Why a worker was last ended for what it took, and when that was, by monotonic seconds."""
        self.restarts = 0
        """How many workers were lost and replaced."""

    @property
    def size(self) -> int:
        """How many workers can answer now: all but those that owe a heartbeat for too long."""
        return sum(self._answering())

    @property
    def states(self) -> dict[str, int]:
        """How many workers are idle, busy, held by what is no request, or don't answer."""
        counted = dict.fromkeys(("idle", "busy", "held", _SILENT), 0)
        for worker, answers in zip(self.members, self._answering(), strict=True):
            counted[_DOES.get(worker.occupancy.state, "busy") if answers else _SILENT] += 1
        return counted

    @property
    def is_whole(self) -> bool:
        """Whether every worker that there is to be can answer now."""
        return self.size >= self.members.count

    @property
    def pids(self) -> list[int]:
        """The process ids of the workers that can answer."""
        return [worker.child.pid for worker in self.members]

    @property
    def trouble(self) -> str:
        """Why a lost worker could not be replaced so far, '' where none waits for that."""
        return next(iter(self._troubles.values()), "")

    @property
    def over_limit(self) -> str:
        """Why a worker was ended for what it took, '' where none was in the last ten minutes."""
        reason, noted = self._over_limit
        return reason if time.monotonic() - noted < _TOLD_FOR_S else ""

    async def run(self, *, task_status: TaskStatus[LoadReply]) -> None:
        """Load the first worker, report what it loaded, then keep all of them until `close`.

        Raise, before anything is reported, what loading raised: ChildRaisedError,
        ChildTimeoutError, ChildLostError, ChildStartError, StoreCorruptError, SignatureError.
        """
        worker, loaded = await self._load()
        async with anyio.create_task_group() as keepers:
            keepers.start_soon(self._keep, worker)
            await self._files.note(loaded.writes)
            task_status.started(loaded)
            for _ in range(self.settings.workers - 1):
                keepers.start_soon(self._keep, None)
            await self._closing.wait()
            keepers.cancel_scope.cancel()

    def close(self) -> None:
        """Let `run` end its workers and return."""
        self._closing.set()

    def acquire(self) -> AbstractAsyncContextManager[WorkerHandle]:
        """Wait for an idle worker and hold it; those that wait here come before the queue."""
        return self.members.acquire()

    @asynccontextmanager
    async def load_apart(self) -> AsyncIterator[WorkerHandle]:
        """Load one more worker, which no request gets. Raise as loading does."""
        worker, _ = await self._loader.load()
        try:
            yield worker
        finally:
            await worker.end()

    async def activate(self, compiled: str, timeout_s: float) -> ActivateReply:
        """Have every worker, and every later one, answer by the compiled predictors in a folder.

        Each takes them into use between two calls. Return what the last one said, nothing where
        none is there now.
        """
        self.activation.offer(compiled)
        reply = ActivateReply(None)
        for worker in tuple(self.members):
            async with self.members.hold(worker) as held:
                if held and worker.compiled != compiled:
                    reply = await self.activation.use(worker, timeout_s)
                    if reply.report is None:
                        break
        return reply

    async def smoke(self, timeout_s: float, incumbent_path: Path | None = None) -> SmokeReply:
        """Predict on example rows in one of the workers. Raise as loading does."""
        request = SmokeRequest(str(incumbent_path or ""))
        reply = await self._try("smoke", request, SmokeReply, timeout_s)
        await self._files.note(reply.writes)
        return reply

    async def speed(self, timeout_s: float, incumbent_path: Path | None = None) -> SpeedReply:
        """Time calls on the same rows. Raise as loading does."""
        request = SpeedRequest(str(incumbent_path or ""))
        return await self._try("speed", request, SpeedReply, timeout_s)

    def _answering(self) -> Iterator[bool]:
        """Tell of each member whether it can answer now."""
        overdue = (
            time.monotonic() - _OVERDUE_HEARTBEATS * self.settings.process.heartbeat_interval_s
        )
        # One that was not asked owes none: this process itself may have stood still.
        for worker in self.members:
            yield worker.is_alive and (
                worker.occupancy.state is not State.PINGED or worker.child.last_seen >= overdue
            )

    async def _try(self, op: str, request: object, reply: type[T], timeout_s: float) -> T:
        """Call one of the workers.

        The limit holds for the wait for a worker, too: what loaded once may never load again.
        """
        with anyio.move_on_after(timeout_s):
            async with self.acquire() as worker:
                try:
                    answer = await worker.child.call(op, request, reply, timeout_s=timeout_s)
                    await worker.child.check_memory()
                except ChildLostError:
                    # Then the error tells how, and what it printed last.
                    await worker.child.ended.wait()
                    raise
                return answer
        raise ChildTimeoutError(f"no worker answered its example within {timeout_s:.3g} s")

    def _note_counts(self, kind: str, counts: Mapping[str, int]) -> None:
        tell = self._observer.engine_faults if kind == FAULTS else self._observer.engine_fallbacks
        tell(self.stored.version, counts)

    def _note_over_limit(self, reason: str) -> None:
        self._over_limit = (reason, time.monotonic())
        self._observer.worker_over_limit(self.stored.version, reason)

    async def _load(self) -> tuple[WorkerHandle, LoadReply]:
        """Load a worker that is to be a member, and tell how long it took."""
        began_s = time.monotonic()
        worker, loaded = await self._loader.load()
        self._observer.worker_ready(self.stored.version, time.monotonic() - began_s)
        return worker, loaded

    async def _keep(self, worker: WorkerHandle | None) -> None:
        """Have one worker at all times: watch it while it lives, replace it when it is lost."""
        backoff_s = 0.0
        while True:
            if worker is None:
                worker = await self._load_again(backoff_s)
            born, child = time.monotonic(), worker.child
            self.members.add(worker)
            try:
                await self.activation.catch_up(worker, self.settings.load_timeout_s)
                self.members.end(worker, Work.HOLD)
                await self._watch(worker)
            finally:
                self.members.remove(worker)
                await worker.end()
            self.activation.note_end(worker, child.exit_code)
            self.restarts += 1
            lived_s = time.monotonic() - born
            backoff_s = 0.0 if lived_s >= _STABLE_AFTER_S else _longer(backoff_s)
            how = _how_it_ended(child)
            self._log.warning(
                "worker lost", child=child.name, lived_s=round(lived_s, 3), reason=how
            )
            self._observer.worker_lost(self.stored.version, how)
            worker = None

    async def _load_again(self, backoff_s: float) -> WorkerHandle:
        """Load a replacement, after `backoff_s`, however often it takes."""
        waiting = object()
        await anyio.sleep(backoff_s)
        while True:
            try:
                worker, _ = await self._load()
            except Exception as error:  # noqa: BLE001 - the other workers serve on, whatever it is
                backoff_s = _longer(backoff_s)
                reason = presentable(str(error) or type(error).__name__)
                self._troubles[waiting] = reason
                self._log.warning(
                    "worker not replaced",
                    reason=reason,
                    retry_in_s=backoff_s,
                    exc_info=not isinstance(error, ServiceError),
                )
                self._observer.worker_not_replaced(self.stored.version, reason)
                await anyio.sleep(backoff_s)
            else:
                self._troubles.pop(waiting, None)
                compiled = bool(worker.compiled)
                self._log.info("worker ready", child=worker.child.name, compiled=compiled)
                return worker

    async def _watch(self, worker: WorkerHandle) -> None:
        """Return once the worker is lost; an idle one is asked for its heartbeat."""
        child, process = worker.child, self.settings.process
        interval_s = process.heartbeat_interval_s
        while True:
            with anyio.move_on_after(interval_s):
                await child.lost.wait()
                return
            # A worker that does anything is watched by that call's own time limit.
            is_idle = worker.occupancy.may_take(Work.PING)
            if not is_idle or time.monotonic() - child.last_seen < interval_s:
                continue
            self.members.begin(worker, Work.PING)
            try:
                await child.ping(process.heartbeat_timeout_s)
            except (ChildLostError, ChildTimeoutError) as error:
                self._log.warning("worker gave no heartbeat", reason=str(error))
            else:
                self.members.end(worker, Work.PING)


def _how_it_ended(child: Child) -> str:
    """Say how a worker ended that should have gone on, for people."""
    if child.over_limit:
        return f"it was ended: {child.over_limit}"
    if child.killed:
        return "it was ended: no answer in time, or one that can't be read"
    if child.exit_code is None:
        return "it ended"
    if child.exit_code < 0:
        return f"it ended by signal {-child.exit_code}"
    return f"it ended with status {child.exit_code}"


def _longer(backoff_s: float) -> float:
    return min(max(_FIRST_BACKOFF_S, backoff_s * 2), _LONGEST_BACKOFF_S)
