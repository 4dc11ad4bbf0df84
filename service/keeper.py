"""Runs one deployment behind a crash barrier: where it breaks off, the others go on."""

from collections.abc import Callable

import anyio
import structlog
from anyio.abc import TaskStatus

from service.deployment import Deployment
from service.settings.deployment import DeploymentSettings

_FIRST_BACKOFF_S = 1.0
_LONGEST_BACKOFF_S = 60.0

_log = structlog.get_logger("deployments")


class Keeper:
    """Runs a deployment, and a new one of the same settings wherever one broke off."""

    def __init__(self, settings: DeploymentSettings, make: Callable[[], Deployment]) -> None:
        self.settings = settings
        self.successor: Keeper | None = None
        """The keeper that takes its place as soon as it can answer; None where no change waits."""
        self.ended = anyio.Event()
        self._make = make
        self._left = anyio.Event()
        self.deployment = make()

    def leave(self) -> None:
        """Have it end, once the requests that it has are answered."""
        self._left.set()
        self.deployment.leave()

    async def run(self, *, task_status: TaskStatus[None] = anyio.TASK_STATUS_IGNORED) -> None:
        """Run the deployment until `leave`, and report once it follows its pointer.

        Nothing that it raises ends this, except before the report where something awaits that.
        """
        is_awaited = task_status is not anyio.TASK_STATUS_IGNORED
        has_started = False
        backoff_s = _FIRST_BACKOFF_S
        try:
            while not self._left.is_set():
                try:
                    async with anyio.create_task_group() as tasks:
                        await tasks.start(self.deployment.run)
                        if not has_started:
                            has_started = True
                            task_status.started()
                except Exception:
                    if not has_started and is_awaited:
                        # The service starts: what is wrong ends it, in its own words.
                        raise
                    _log.exception(
                        "deployment broke off", model=self.deployment.name, retry_in_s=backoff_s
                    )
                else:
                    return
                with anyio.move_on_after(backoff_s):
                    await self._left.wait()
                    return
                backoff_s = min(2 * backoff_s, _LONGEST_BACKOFF_S)
                self.deployment = self._make()
        finally:
            self.ended.set()
