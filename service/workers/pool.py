"""The worker processes of one loaded version: loaded, watched by heartbeat, replaced when lost."""

import asyncio
import time
from collections import deque
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import TypeVar

import anyio
import structlog
from anyio.abc import TaskStatus

from service.core.errors import (
    ChildLostError,
    ChildTimeoutError,
    ServiceError,
    StoreCorruptError,
)
from service.core.text import presentable
from service.core.versions import StoredVersion
from service.workers.activation import Activation
from service.workers.factory import WorkerFactory
from service.workers.messages import (
    ActivateReply,
    LoadReply,
    LoadRequest,
    SmokeReply,
    SmokeRequest,
    SpeedReply,
    SpeedRequest,
)
from service.workers.pool_settings import PoolSettings
from service.workers.pool_worker import Worker
from service.workers.stored_files import Restore, StoredFiles

T = TypeVar("T")

_FIRST_BACKOFF_S = 0.5
_LONGEST_BACKOFF_S = 30.0
_OVERDUE_HEARTBEATS = 3.0
_STABLE_AFTER_S = 10.0
"""A worker that lived this long was no crash at start: its successor is tried at once."""


class Pool:
    """The workers of one version. `run` hosts them; everything else may be called while it does."""

    def __init__(
        self,
        stored: StoredVersion,
        factory: WorkerFactory,
        settings: PoolSettings,
        compiled: str = "",
        restore: Restore | None = None,
    ) -> None:
        self.stored = stored
        self._files = StoredFiles(stored, restore)
        self.settings = settings
        self._factory = factory
        self._workers: set[Worker] = set()
        self._idle: deque[Worker] = deque()
        self._busy: set[Worker] = set()
        self._waiting: deque[asyncio.Future[Worker]] = deque()
        """Who waits in `acquire`, and comes before the queue of requests."""
        self._on_idle: Callable[[], None] = lambda: None
        self._wanted: dict[Worker, anyio.Event] = {}
        self._closing = anyio.Event()
        self._started = 0
        self._troubles: dict[object, str] = {}
        self.restarts = 0
        """How many workers were lost and replaced."""
        self._log = structlog.get_logger("pool").bind(
            model=stored.version.name, version=stored.version.version
        )
        self.activation = Activation(compiled, self._log)
        self.loading = anyio.Event()
        """Set once its first worker has begun to load."""

    @property
    def size(self) -> int:
        """How many workers can answer now: all but those that owe a heartbeat for too long."""
        overdue = (
            time.monotonic() - _OVERDUE_HEARTBEATS * self.settings.process.heartbeat_interval_s
        )
        return sum(
            worker.child.is_alive
            and (
                worker in self._busy
                or worker.child.last_seen >= overdue
                # Not asked yet: this process itself may have stood still.
                or worker in self._idle
            )
            for worker in self._workers
        )

    @property
    def pids(self) -> list[int]:
        """The process ids of the workers that can answer."""
        return [worker.child.pid for worker in self._workers]

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

    @property
    def trouble(self) -> str:
        """Why a lost worker could not be replaced so far, '' where none waits for that."""
        return next(iter(self._troubles.values()), "")

    @property
    def count(self) -> int:
        """How many workers there are to be."""
        return self.settings.workers

    def take_idle(self) -> Worker | None:
        """Hold an idle worker, until `give_back`; None where there is none."""
        while self._idle:
            worker = self._idle.popleft()
            # One that ended meanwhile is left to its keeper.
            if worker.child.is_alive:
                self._busy.add(worker)
                return worker
        return None

    def give_back(self, worker: Worker) -> None:
        """Let go of a worker that `take_idle` gave."""
        if worker in self._busy:
            self._busy.discard(worker)
            if worker.child.is_alive:
                self._put_idle(worker)

    def may_follow(self, worker: Worker) -> bool:
        """Tell whether a held worker may get a second call: not where someone else waits for it."""
        return worker.child.is_alive and not self._waiting and worker not in self._wanted

    def when_idle(self, callback: Callable[[], None]) -> None:
        """Have `callback` called whenever a worker became idle."""
        self._on_idle = callback

    @asynccontextmanager
    async def acquire(self) -> AsyncIterator[Worker]:
        """Wait for an idle worker and hold it; who waits here comes before those in the queue."""
        worker = self.take_idle() or await self._next_idle()
        try:
            yield worker
        finally:
            self.give_back(worker)

    @property
    def is_whole(self) -> bool:
        """Whether every worker that there is to be can answer now."""
        return self.size >= self.count

    @asynccontextmanager
    async def load_apart(self) -> AsyncIterator[Worker]:
        """Load one more worker, which no request gets. Raise as loading does."""
        worker, _ = await self._load()
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
        for worker in tuple(self._workers):
            async with self._hold(worker) as held:
                if held and worker.compiled != compiled:
                    reply = await self.activation.use(worker, timeout_s)
                    if reply.report is None:
                        break
        return reply

    @asynccontextmanager
    async def _hold(self, worker: Worker) -> AsyncIterator[bool]:
        """Hold this worker, once its call is over; tells whether it can still be called.

        Who waits here comes before those who wait for any worker.
        """
        if worker in self._idle:
            self._idle.remove(worker)
        else:
            event = self._wanted[worker] = anyio.Event()
            try:
                await event.wait()
            except BaseException:
                self._wanted.pop(worker, None)
                if event.is_set():
                    self._put_idle(worker)
                raise
        held = worker.child.is_alive and worker in self._workers
        if held:
            self._busy.add(worker)
        try:
            yield held
        finally:
            self.give_back(worker)

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

    async def _try(self, op: str, request: object, reply: type[T], timeout_s: float) -> T:
        """Call one of the workers.

        The limit holds for the wait for a worker, too: what loaded once may never load again.
        """
        with anyio.move_on_after(timeout_s):
            async with self.acquire() as worker:
                try:
                    return await worker.child.call(op, request, reply, timeout_s=timeout_s)
                except ChildLostError:
                    # Then the error tells how, and what it printed last.
                    await worker.child.ended.wait()
                    raise
        raise ChildTimeoutError(f"no worker answered its example within {timeout_s:.3g} s")

    async def _load(self) -> tuple[Worker, LoadReply]:
        """Start a worker and have it load the version, with its compiled predictors if there are.

        A worker that is lost over them is followed by one that does without.
        """
        compiled = self.activation.folder
        try:
            return await self._load_with(compiled)
        except StoreCorruptError:
            if not await self._files.restored():
                raise
            return await self._load_with(compiled)
        except ChildLostError as error:
            if not compiled or error.killed_from_outside:
                raise
            self.activation.drop(str(error))
        return await self._load_with("")

    async def _load_with(self, compiled: str) -> tuple[Worker, LoadReply]:
        version = self.stored.version
        self._started += 1
        child = await self._factory.start(
            f"worker-{version.version}-{self._started}",
            {"model": version.name, "version": version.version},
            self.settings.process,
        )
        self.loading.set()
        folder = self.settings.process.new_folder()
        request = LoadRequest(
            path=str(self.stored.path),
            digest=self.stored.digest,
            name=version.name,
            refuse_unknown=self.settings.refuse_unknown,
            threads=self.settings.threads,
            compiled=compiled,
            answers=self.settings.answers,
            own_folder=str(folder),
            copied=self._files.copied,
        )
        try:
            loaded = await child.call(
                "load", request, LoadReply, timeout_s=self.settings.load_timeout_s
            )
        except BaseException:
            # With it a ChildLostError is complete.
            await Worker(child, folder).end()
            raise
        if loaded.activated.reason:
            self.activation.drop(loaded.activated.reason)
            compiled = ""
        return Worker(child, folder, compiled, any_rows=self.settings.answers.any_rows), loaded

    async def _keep(self, worker: Worker | None) -> None:
        """Have one worker at all times: watch it while it lives, replace it when it is lost."""
        backoff_s = 0.0
        while True:
            if worker is None:
                worker = await self._load_again(backoff_s)
            born, child = time.monotonic(), worker.child
            self._workers.add(worker)
            try:
                await self.activation.catch_up(worker, self.settings.load_timeout_s)
                self._put_idle(worker)
                await self._watch(worker)
            finally:
                self._remove(worker)
                await worker.end()
            self.activation.note_end(worker, child.exit_code)
            self.restarts += 1
            lived_s = time.monotonic() - born
            backoff_s = 0.0 if lived_s >= _STABLE_AFTER_S else _longer(backoff_s)
            self._log.warning("worker lost", child=child.name, lived_s=round(lived_s, 3))
            worker = None

    async def _load_again(self, backoff_s: float) -> Worker:
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
                await anyio.sleep(backoff_s)
            else:
                self._troubles.pop(waiting, None)
                compiled = bool(worker.compiled)
                self._log.info("worker ready", child=worker.child.name, compiled=compiled)
                return worker

    async def _watch(self, worker: Worker) -> None:
        """Return once the worker is lost; an idle one is asked for its heartbeat."""
        interval_s = self.settings.process.heartbeat_interval_s
        while True:
            with anyio.move_on_after(interval_s):
                await worker.child.lost.wait()
                return
            # A worker in a call is watched by that call's own time limit.
            if worker not in self._idle or time.monotonic() - worker.child.last_seen < interval_s:
                continue
            self._idle.remove(worker)
            try:
                await worker.child.ping(self.settings.process.heartbeat_timeout_s)
            except (ChildLostError, ChildTimeoutError) as error:
                self._log.warning("worker gave no heartbeat", reason=str(error))
            else:
                self._put_idle(worker)

    async def _next_idle(self) -> Worker:
        wish: asyncio.Future[Worker] = asyncio.get_running_loop().create_future()
        self._waiting.append(wish)
        try:
            return await wish
        except asyncio.CancelledError:
            if wish.done() and not wish.cancelled():
                self.give_back(wish.result())
            raise

    def _put_idle(self, worker: Worker) -> None:
        wanted = self._wanted.pop(worker, None)
        if wanted is not None:
            wanted.set()
            return
        while self._waiting:
            wish = self._waiting.popleft()
            if not wish.done():
                self._busy.add(worker)
                wish.set_result(worker)
                return
        self._idle.append(worker)
        self._on_idle()

    def _remove(self, worker: Worker) -> None:
        self._workers.discard(worker)
        wanted = self._wanted.pop(worker, None)
        if wanted is not None:
            wanted.set()
        self._busy.discard(worker)
        if worker in self._idle:
            self._idle.remove(worker)


def _longer(backoff_s: float) -> float:
    return min(max(_FIRST_BACKOFF_S, backoff_s * 2), _LONGEST_BACKOFF_S)
