"""The fork servers of the environments that are in use beside the service's own: one for each."""

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path

from service.core.environments import Environment
from service.processes.child_threads import ChildThreads
from service.processes.fork_server import ForkServer

_KEY_CHARACTERS = 12


class ForkServers:
    """Keeps the fork server of an environment as long as something uses that.

    One that was built again has another: the first may have imported what was damaged.
    """

    def __init__(self, modules: Sequence[str]) -> None:
        """Have each of them import `modules`, as far as its environment has them."""
        self._modules = modules
        self._servers: dict[Environment, ForkServer] = {}
        self._uses: dict[Environment, int] = {}

    @property
    def pids(self) -> list[int]:
        """The processes of those that run."""
        return [server.pid for server in self._servers.values() if server.pid is not None]

    def of(self, environment: Environment) -> ForkServer | None:
        """Return the fork server of an environment; None for the service's own environment.

        Raise RuntimeError for one that nothing uses.
        """
        if environment.is_shared:
            return None
        server = self._servers.get(environment)
        if server is None:
            raise RuntimeError(f"environment {environment.key} is not in use")
        return server

    @asynccontextmanager
    async def using(self, environment: Environment, temp_dir: Path) -> AsyncIterator[None]:
        """Keep its fork server meanwhile, which its first child starts."""
        if environment.is_shared:
            yield
            return
        if environment not in self._servers:
            self._servers[environment] = ForkServer(
                f"fork-server-{environment.key[:_KEY_CHARACTERS]}",
                Path(environment.interpreter),
                self._modules,
                temp_dir,
                # Its own: an interpreter on a disk that hangs must not hold up any other start.
                ChildThreads(),
            )
        self._uses[environment] = self._uses.get(environment, 0) + 1
        try:
            yield
        finally:
            self._uses[environment] -= 1
            if not self._uses[environment]:
                # First, so that what uses it from now on gets another one.
                del self._uses[environment]
                await self._servers.pop(environment).end()
