"""All that deployments share: registries, the folder on disk, workers' processes, the compiler."""

import os
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager

import anyio
import anyio.to_thread
import msgspec
import structlog
from anyio import CapacityLimiter
from anyio.abc import TaskGroup

from service.cache_dir import temp_folder
from service.compiling.compilation import CompileTurns
from service.core.described import Described
from service.core.errors import FetchFailedError
from service.core.versions import StoredVersion
from service.core.worker_limits import WorkerLimits
from service.credentials import NO_CREDENTIALS, Credentials
from service.environments.environments import Environments
from service.environments.variables import builders_variables
from service.processes.child_spec import ChildSpec
from service.processes.child_threads import ChildThreads
from service.processes.temp import TempFolder
from service.registry.address import RegistryAddress
from service.registry.descriptions import Descriptions
from service.registry.messages import (
    DESCRIBE,
    REGISTRY_TARGET,
    DescribeRequest,
    RegistryClientSettings,
)
from service.registry.poll_times import PollTimes
from service.registry.process import RegistryProcess
from service.registry.process_pool import ProcessPool
from service.registry.registry import Registry, registry_environment
from service.settings.service import ServiceSettings
from service.signing.messages import VERIFIER_TARGET, VERIFY, VerifyReply, VerifyRequest
from service.telemetry.observer import Observer
from service.workers.cpu_budget import CpuBudget, usable_cpus
from service.workers.factory import WorkerFactory
from service.workers.pool_settings import ProcessSettings
from service.workers.variables import WorkerVariables

_STORE_THREADS = 4
_FETCH_PROCESSES = 4
"""This many downloads run beside each other at most."""
_DESCRIBE_TIMEOUT_S = 60.0
"""A description that takes longer is given up; a usual one takes a small part of a second."""
_VERIFY_TIMEOUT_S = 60.0
"""The same for a signature, whose process has to import what verifies it."""

_log = structlog.get_logger("platform")

Observe = Callable[[str], Sequence[Observer]]
"""Returns what is told of a deployment, given its name, besides the log."""


def no_more_observers(_: str) -> Sequence[Observer]:
    """Have the log alone told of a deployment."""
    return ()


class Platform:
    """Shared by every deployment; it knows no HTTP and no particular model."""

    def __init__(
        self,
        settings: ServiceSettings,
        temp: TempFolder,
        credentials: Credentials,
        cpus: int,
        tasks: TaskGroup,
        observe: Observe = no_more_observers,
    ) -> None:
        self.settings = settings
        self.observe = observe
        self.temp_dir = temp.path
        # Held: losing the object would let go of the folder's lock.
        self._temp = temp
        self._credentials = credentials
        self._variables = WorkerVariables(settings.worker_env)
        self._tasks = tasks
        self._registries: dict[RegistryAddress, Registry] = {}
        self.threads = ChildThreads()
        self._fetches = ProcessPool(_FETCH_PROCESSES, self._registry_process)
        self._describing = ProcessPool(1, self._registry_process)
        self._verifying = ProcessPool(1, self._verifying_process)
        self._descriptions = Descriptions(self._ask_for_description)
        self.poll_times = PollTimes()
        for pool in (self._fetches, self._describing, self._verifying):
            tasks.start_soon(pool.run)
        self.workers = WorkerFactory(self.threads)
        self.compile_turns = CompileTurns()
        self.cpus = CpuBudget(cpus)
        self.store_threads = CapacityLimiter(_STORE_THREADS)
        self.environments = Environments(
            settings.cache_dir,
            self.temp_dir,
            self.threads,
            # What embeds this service may have taken nothing out of the environment.
            credentials.builder or builders_variables(os.environ),
            settings.start_timeout_s,
        )

    def registry(self, address: RegistryAddress) -> Registry:
        """Return the registry at an address: the same one for all that follow it."""
        known = self._registries.get(address)
        if known is None:
            known = self._registries[address] = Registry(
                address,
                temp_dir=self.temp_dir,
                environment=registry_environment(address, self._credentials.registry),
                threads=self.threads,
                start_timeout_s=self.settings.start_timeout_s,
                fetches=self._fetches,
            )
            self._tasks.start_soon(known.run)
        return known

    async def describe(self, stored: StoredVersion) -> Described:
        """Return what a stored version says of itself, read in a process. Raise ServiceError."""
        return await self._descriptions.of(stored)

    async def _ask_for_description(self, request: DescribeRequest) -> Described:
        # It reads files alone: it is told of no registry, and waits for no download.
        limits = msgspec.msgpack.encode(RegistryClientSettings(_DESCRIBE_TIMEOUT_S))
        spec = ChildSpec(REGISTRY_TARGET, "registry-describe", limits, self.temp_dir)
        return await self._describing.ask(spec, DESCRIBE, request, Described, _DESCRIBE_TIMEOUT_S)

    async def verify(self, request: VerifyRequest) -> VerifyReply:
        """Have signatures verified, in a process that is told of no registry, either.

        Raise ServiceError.
        """
        spec = ChildSpec(VERIFIER_TARGET, "signature-verify", b"", self.temp_dir)
        return await self._verifying.ask(spec, VERIFY, request, VerifyReply, _VERIFY_TIMEOUT_S)

    def _registry_process(self, spec: ChildSpec) -> RegistryProcess:
        return RegistryProcess(spec, self.threads, self.settings.start_timeout_s, FetchFailedError)

    def _verifying_process(self, spec: ChildSpec) -> RegistryProcess:
        return RegistryProcess(
            spec,
            self.threads,
            self.settings.start_timeout_s,
            FetchFailedError,
            asked="the process that verifies signatures",
            process="the process that verifies signatures",
        )

    def process_settings(self, address: RegistryAddress, limits: WorkerLimits) -> ProcessSettings:
        """Return what a worker gets whose model comes from a registry: no credential."""
        variables = registry_environment(address, self._credentials.registry)
        return ProcessSettings(
            temp_dir=self.temp_dir,
            variables=self._variables.without_credentials(variables),
            start_timeout_s=self.settings.start_timeout_s,
            heartbeat_interval_s=self.settings.heartbeat_interval_s,
            busy_poll_s=self.cpus.polling_s(self.settings.worker_spin_us / 1e6),
            limits=limits,
        )

    async def close(self) -> None:
        """End every registry process."""
        async with anyio.create_task_group() as ends:
            for registry in self._registries.values():
                ends.start_soon(registry.close)
            for pool in (self._fetches, self._describing, self._verifying):
                ends.start_soon(pool.close)
            ends.start_soon(self.environments.close)


@asynccontextmanager
async def open_platform(
    settings: ServiceSettings,
    temp: TempFolder | None = None,
    credentials: Credentials = NO_CREDENTIALS,
    observe: Observe = no_more_observers,
) -> AsyncIterator[Platform]:
    """Open what deployments share, and end every process of it afterwards.

    A folder for temporary files is made where this process has none yet. `credentials` are
    variables that model code does not get. `observe` returns what else than the log is told of a
    deployment.
    """
    if temp is None:
        temp = await anyio.to_thread.run_sync(temp_folder, settings.cache_dir)
        temp.use()
    if credentials.names:
        _log.info("variables kept from model code", names=credentials.names, setting="WORKER_ENV")
    cpus = await anyio.to_thread.run_sync(usable_cpus)
    try:
        async with anyio.create_task_group() as tasks:
            platform = Platform(settings, temp, credentials, cpus, tasks, observe)
            try:
                yield platform
            finally:
                tasks.cancel_scope.cancel()
                with anyio.CancelScope(shield=True):
                    await platform.close()
    except BaseExceptionGroup as group:
        # What is raised by those that were given the platform is theirs, and comes as it was.
        if len(group.exceptions) == 1:
            raise group.exceptions[0] from None
        raise
