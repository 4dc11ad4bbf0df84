"""Start workers. One that is warm and has no version yet stands by for the next that is needed.

To fork a process and make it ready takes tens of milliseconds of a CPU, and seconds where children
are spawned. Done beforehand, that is no part of a promotion's time, and takes no CPU from requests
meanwhile.
"""

import anyio
import structlog

from service.core.errors import ChildLostError, ServiceError
from service.processes.child import Child, ChildSpec, ChildThreads, start_child
from service.processes.launch import preload
from service.workers.errors import WORKER_ERRORS
from service.workers.pool_settings import ProcessSettings
from service.workers.preloaded import PRELOADED

_QUIET_S = 1.0
"""For how long nobody must have started a worker before the next one is made ready."""
_SIGN_OF_LIFE_S = 1.0
"""A worker that stands by and gives none within this is ended, and another one started."""
_FIRST_BACKOFF_S = 5.0
_LONGEST_BACKOFF_S = 300.0

_log = structlog.get_logger("starter")


class WorkerFactory:
    """Starts the workers of all versions: the same process, until it loads one."""

    def __init__(self, threads: ChildThreads) -> None:
        preload(PRELOADED)
        self.threads = threads
        self._spare: Child | None = None
        self._last: ProcessSettings | None = None
        """What the last worker was started with: the one that stands by is started so, too."""
        self._spare_settings: ProcessSettings | None = None
        self._standing_by = anyio.CancelScope()
        self._used = anyio.Event()
        """Set whenever a worker is started; before the first one none is made ready."""

    async def start(
        self, name: str, log_fields: dict[str, str], settings: ProcessSettings
    ) -> Child:
        """Return a warm worker: the spare one where it was started so, or one that is started now.

        Raise as `start_child` does.
        """
        self._last = settings
        self._used.set()
        spare = await self._take_spare(settings)
        if spare is None:
            spec = _spec(name, log_fields, settings)
            return await start_child(spec, self.threads, settings.start_timeout_s)
        spare.rename(name, log_fields)
        _log.info("child started", child=name, pid=spare.pid, stood_by=True, **log_fields)
        return spare

    async def keep_spare(self) -> None:
        """Have a spare worker whenever nobody has needed one for a while. Ends it if cancelled."""
        backoff_s = _FIRST_BACKOFF_S
        await self._until_quiet()
        while True:
            try:
                await self._stand_by()
            except ServiceError as error:
                _log.warning("no worker stands by", reason=str(error), retry_in_s=backoff_s)
            except Exception:  # noqa: BLE001 - all versions live beside this: they do without
                _log.exception("no worker stands by", retry_in_s=backoff_s)
            else:
                backoff_s = _FIRST_BACKOFF_S
                await self._until_quiet()
                continue
            await anyio.sleep(backoff_s)
            backoff_s = min(2 * backoff_s, _LONGEST_BACKOFF_S)

    async def _until_quiet(self) -> None:
        """Return once a worker was started, and after it none for a while."""
        await self._used.wait()
        while self._used.is_set():
            self._used = anyio.Event()
            with anyio.move_on_after(_QUIET_S):
                await self._used.wait()

    async def _stand_by(self) -> None:
        """Start a worker and keep it until it is taken. Raise where it can't be or is lost."""
        settings = self._last
        assert settings is not None  # noqa: S101 - set by whatever ended `_until_quiet`
        spec = _spec("spare-worker", {}, settings)
        child = await start_child(spec, self.threads, settings.start_timeout_s)
        self._spare, self._spare_settings = child, settings
        try:
            with anyio.CancelScope() as self._standing_by:
                await child.lost.wait()
                raise ChildLostError(f"{child.name} ended", child.last_lines)
        finally:
            if self._spare is child:
                self._spare = None
                await child.end()

    async def _take_spare(self, settings: ProcessSettings) -> Child | None:
        """Return the worker that stands by, if one does for these settings, and it answers."""
        spare, self._spare = self._spare, None
        if spare is None:
            return None
        self._standing_by.cancel()
        if self._spare_settings != settings:
            await spare.end()
            return None
        try:
            await spare.ping(_SIGN_OF_LIFE_S)
        except BaseException as error:
            await spare.end()
            if not isinstance(error, ServiceError):
                raise
            _log.warning("the worker that stood by is of no use", reason=str(error))
            return None
        return spare


def _spec(name: str, log_fields: dict[str, str], settings: ProcessSettings) -> ChildSpec:
    return ChildSpec(
        target="service.workers.inside.worker:operations",
        name=name,
        arguments=b"",
        temp_dir=settings.temp_dir,
        environment=settings.environment,
        log_fields=log_fields,
        busy_poll_s=settings.spin_s,
        errors=WORKER_ERRORS,
    )
