"""Start workers: the same process for every version, until it loads one."""

from functools import partial

import structlog

from service.core.environments import SHARED, Environment
from service.processes.child import Child, start_child
from service.processes.child_spec import ChildSpec
from service.processes.child_threads import ChildThreads
from service.processes.fork_servers import ForkServers
from service.processes.launch import preload
from service.workers.errors import WORKER_ERRORS
from service.workers.occupancy import MOST_CALLS
from service.workers.pool_settings import ProcessSettings
from service.workers.preloaded import PRELOADED
from service.workers.standby import USUAL_TIMES, StandbyTimes, StandbyWorker

_STANDBY = "standby-worker"

_log = structlog.get_logger("child")


class WorkerFactory:
    """Starts the workers of all versions, where possible from a process that has the imports."""

    def __init__(self, threads: ChildThreads, times: StandbyTimes = USUAL_TIMES) -> None:
        preload(PRELOADED)
        self.threads = threads
        self.fork_servers = ForkServers(PRELOADED)
        self.standby = StandbyWorker(
            partial(self._started, _STANDBY, {}, environment=SHARED), times
        )

    async def start(
        self,
        name: str,
        log_fields: dict[str, str],
        settings: ProcessSettings,
        environment: Environment = SHARED,
    ) -> Child:
        """Return a warm worker without a version: the standby worker where there is one.

        Another environment has none, and `fork_servers.using` it is to be held. Raise as
        `start_child` does.
        """
        child = await self.standby.take(settings) if environment.is_shared else None
        if child is None:
            return await self._started(name, log_fields, settings, environment=environment)
        child.rename(name, log_fields)
        _log.info("standby worker used", child=name, pid=child.pid, **log_fields)
        return child

    async def _started(
        self,
        name: str,
        log_fields: dict[str, str],
        settings: ProcessSettings,
        *,
        environment: Environment,
    ) -> Child:
        spec = ChildSpec(
            target="service.workers.inside.worker:operations",
            name=name,
            arguments=b"",
            temp_dir=settings.temp_dir,
            variables=settings.variables,
            log_fields=log_fields,
            busy_poll_s=settings.busy_poll_s,
            errors=WORKER_ERRORS,
            most_calls=MOST_CALLS,
            forked_by=self.fork_servers.of(environment),
            limits=settings.limits,
        )
        return await start_child(spec, self.threads, settings.start_timeout_s)
