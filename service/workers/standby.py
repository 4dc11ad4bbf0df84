"""The standby worker of a service: warm and without a version yet, for the next load.

To fork a process and make it ready takes tens of milliseconds, and seconds where children are
spawned. Done beforehand, that is no part of a promotion.
"""

from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager

import anyio
import msgspec
import structlog

from service.core.errors import ChildLostError, ServiceError
from service.processes.child import Child
from service.workers.pool_settings import ProcessSettings

_LONGEST_BACKOFF_S = 300.0

_log = structlog.get_logger("standby")


class StandbyTimes(msgspec.Struct, frozen=True):
    """When a standby worker is started, and how long it is waited for; in seconds."""

    pause_s: float = 0.5
    """Nothing must have loaded for this long before one is started."""
    sign_of_life_s: float = 1.0
    """One that gives no sign of life within this time is not used."""
    first_backoff_s: float = 1.0
    """The wait after one was lost or could not be started; it doubles each time."""


USUAL_TIMES = StandbyTimes()


class StandbyWorker:
    """At most one worker that stands by, whatever number of deployments there is.

    It is started as the last worker was, and used by the next load with the same settings. While
    it stands by it sleeps.
    """

    def __init__(
        self,
        start: Callable[[ProcessSettings], Awaitable[Child]],
        times: StandbyTimes = USUAL_TIMES,
    ) -> None:
        self._start = start
        self._times = times
        self._loads = 0
        self._wanted: ProcessSettings | None = None
        """What the last load started its worker with; None before the first."""
        self._changed = anyio.Event()
        """Set whenever a load begins or ends."""
        self._child: Child | None = None
        self._settings: ProcessSettings | None = None
        """What the one that stands by was started with."""
        self._standing_by = anyio.CancelScope()

    @property
    def pid(self) -> int | None:
        """Its process id; None while no worker stands by."""
        return self._child.pid if self._child is not None else None

    @contextmanager
    def loading(self, settings: ProcessSettings) -> Iterator[None]:
        """Start none meanwhile, nor for a moment after; the next one gets these settings."""
        self._wanted = settings
        self._loads += 1
        self._changed.set()
        try:
            yield
        finally:
            self._loads -= 1
            self._changed.set()

    async def take(self, settings: ProcessSettings) -> Child | None:
        """Return the worker that stands by, if one does that has these settings and answers."""
        child, self._child = self._child, None
        if child is None:
            return None
        self._standing_by.cancel()
        answers = False
        try:
            if self._settings == settings:
                await child.ping(self._times.sign_of_life_s)
                answers = True
        except ServiceError as error:
            _log.warning("standby worker not used", reason=str(error))
        finally:
            if not answers:
                await child.end()
        return child if answers else None

    async def keep(self) -> None:
        """Have a worker stand by whenever nothing loads. Cancelled, this ends it."""
        backoff_s = self._times.first_backoff_s
        while True:
            settings = await self._until_nothing_loads()
            try:
                await self._stand_by(settings)
            except Exception as error:  # noqa: BLE001 - all versions live beside this: loads do without
                _log.warning(
                    "no standby worker",
                    reason=str(error) or type(error).__name__,
                    retry_in_s=backoff_s,
                    exc_info=not isinstance(error, ServiceError),
                )
                await anyio.sleep(backoff_s)
                backoff_s = min(2 * backoff_s, _LONGEST_BACKOFF_S)
            else:
                backoff_s = self._times.first_backoff_s

    async def _until_nothing_loads(self) -> ProcessSettings:
        """Return once something was loaded, and for a moment nothing is: with its settings."""
        while True:
            self._changed = anyio.Event()
            if self._wanted is None or self._loads:
                await self._changed.wait()
                continue
            with anyio.move_on_after(self._times.pause_s):
                await self._changed.wait()
            if not self._changed.is_set():
                return self._wanted

    async def _stand_by(self, settings: ProcessSettings) -> None:
        """Start a worker and keep it until it is taken. Raise where it can't be or is lost."""
        child = await self._start(settings)
        self._child, self._settings = child, settings
        try:
            with anyio.CancelScope() as self._standing_by:
                await child.lost.wait()
                raise ChildLostError(f"{child.name} ended", child.last_lines)
        finally:
            if self._child is child:
                self._child = None
                await child.end()
