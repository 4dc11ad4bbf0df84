"""Start workers: the same process for every version, until it loads one."""

from service.processes.child import Child, ChildSpec, ChildThreads, start_child
from service.processes.launch import preload
from service.workers.errors import WORKER_ERRORS
from service.workers.occupancy import MOST_CALLS
from service.workers.pool_settings import ProcessSettings
from service.workers.preloaded import PRELOADED


class WorkerFactory:
    """Starts the workers of all versions, where possible from a process that has the imports."""

    def __init__(self, threads: ChildThreads) -> None:
        preload(PRELOADED)
        self.threads = threads

    async def start(
        self, name: str, log_fields: dict[str, str], settings: ProcessSettings
    ) -> Child:
        """Return a worker that is warm and has no version yet. Raise as `start_child` does."""
        spec = ChildSpec(
            target="service.workers.inside.worker:operations",
            name=name,
            arguments=b"",
            temp_dir=settings.temp_dir,
            environment=settings.environment,
            log_fields=log_fields,
            busy_poll_s=settings.busy_poll_s,
            errors=WORKER_ERRORS,
            most_calls=MOST_CALLS,
        )
        return await start_child(spec, self.threads, settings.start_timeout_s)
