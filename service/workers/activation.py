"""Which compiled predictors a pool's workers are to answer by, until these fail in one of them."""

from typing import Protocol

import structlog

from service.core.errors import ServiceError
from service.workers.messages import ActivateReply

_CRASHES = frozenset({-4, -6, -7, -8, -11})
"""How a process ends that native code has brought down: SIGILL, ABRT, BUS, FPE, SEGV."""


class ActivatingWorker(Protocol):
    """What is needed of a worker that nobody else calls meanwhile."""

    compiled: str

    async def activate(self, compiled: str, timeout_s: float) -> ActivateReply:
        """Answer by the compiled predictors in a folder from now on."""
        ...


class Activation:
    """The folder that every worker is to use, '' where they do without."""

    def __init__(self, folder: str, log: structlog.typing.FilteringBoundLogger) -> None:
        self.folder = folder
        self.dropped = ""
        """Why later workers do without, '' where they don't."""
        self._log = log

    def offer(self, folder: str) -> None:
        """Let this be the folder, whatever became of another."""
        self.folder, self.dropped = folder, ""

    async def use(self, worker: ActivatingWorker, timeout_s: float) -> ActivateReply:
        """Have a worker use the folder; where that fails, no later one will."""
        try:
            reply = await worker.activate(self.folder, timeout_s)
        except ServiceError as error:
            reply = ActivateReply(None, str(error))
        if reply.report is None:
            self.drop(reply.reason)
        return reply

    async def catch_up(self, worker: ActivatingWorker, timeout_s: float) -> None:
        """Have a worker use what came while it was loading."""
        if self.folder and worker.compiled != self.folder:
            await self.use(worker, timeout_s)

    def drop(self, reason: str) -> None:
        """Have later workers do without."""
        if self.folder:
            self.folder, self.dropped = "", reason
            self._log.warning("compiled predictors dropped", reason=reason)

    def note_end(self, worker: ActivatingWorker, exit_code: int | None) -> None:
        """Have later workers do without if native code brought down one that used the folder."""
        if worker.compiled and exit_code in _CRASHES:
            self.drop(f"a worker that used them crashed (signal {-exit_code})")
