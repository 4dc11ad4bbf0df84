"""What all deployments share: registries, the folder on disk, workers' processes, the compiler."""

from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from types import MappingProxyType

import anyio
import anyio.to_thread
from anyio import CapacityLimiter

from service.cache_dir import temp_folder
from service.compiling.compilation import CompileTurns
from service.processes.child import ChildThreads
from service.processes.temp import TempFolder
from service.registry.address import RegistryAddress
from service.registry.registry import Registry, registry_environment
from service.settings.service import ServiceSettings
from service.workers.cpu_budget import CpuBudget, usable_cpus
from service.workers.factory import WorkerFactory
from service.workers.pool_settings import ProcessSettings
from service.workers.variables import WorkerVariables

_STORE_THREADS = 4


class Platform:
    """Shared by every deployment; it knows no HTTP and no particular model."""

    def __init__(
        self,
        settings: ServiceSettings,
        temp: TempFolder,
        credentials: Mapping[str, str],
        cpus: int,
    ) -> None:
        self.settings = settings
        self.temp_dir = temp.path
        # Held: losing the object would let go of the folder's lock.
        self._temp = temp
        self._credentials = credentials
        self._variables = WorkerVariables(settings.worker_env)
        self._registries: dict[RegistryAddress, Registry] = {}
        self.threads = ChildThreads()
        self.workers = WorkerFactory(self.threads)
        self.compile_turns = CompileTurns()
        self.cpus = CpuBudget(cpus)
        self.store_threads = CapacityLimiter(_STORE_THREADS)

    def registry(self, address: RegistryAddress) -> Registry:
        """Return the registry at an address: the same one for all that follow it."""
        known = self._registries.get(address)
        if known is None:
            known = self._registries[address] = Registry(
                address,
                temp_dir=self.temp_dir,
                environment=registry_environment(address, self._credentials),
                threads=self.threads,
                start_timeout_s=self.settings.start_timeout_s,
            )
        return known

    def process_settings(self, address: RegistryAddress) -> ProcessSettings:
        """Return what a worker gets whose model comes from a registry: no credential."""
        environment = registry_environment(address, self._credentials)
        return ProcessSettings(
            temp_dir=self.temp_dir,
            environment=self._variables.without_credentials(environment),
            start_timeout_s=self.settings.start_timeout_s,
            heartbeat_interval_s=self.settings.heartbeat_interval_s,
            spin_s=self.cpus.polling_s(self.settings.worker_spin_us / 1e6),
        )

    async def keep_worker_ready(self) -> None:
        """Have a standby worker whenever no worker was needed for a while. Ends it if cancelled."""
        await self.workers.keep_spare()

    async def close(self) -> None:
        """End every registry process."""
        async with anyio.create_task_group() as ends:
            for one in self._registries.values():
                ends.start_soon(one.close)


@asynccontextmanager
async def open_platform(
    settings: ServiceSettings,
    temp: TempFolder | None = None,
    credentials: Mapping[str, str] = MappingProxyType({}),
) -> AsyncIterator[Platform]:
    """Open what deployments share, and end every process of it afterwards.

    A folder for temporary files is made where this process has none yet. `credentials` are
    variables that registry processes get and model code does not.
    """
    if temp is None:
        temp = await anyio.to_thread.run_sync(temp_folder, settings.cache_dir)
        temp.use()
    cpus = await anyio.to_thread.run_sync(usable_cpus)
    platform = Platform(settings, temp, credentials, cpus)
    try:
        yield platform
    finally:
        with anyio.CancelScope(shield=True):
            await platform.close()
