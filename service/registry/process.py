"""A registry process: asks MLflow for the server process, where a call that hangs can be killed."""

from typing import TypeVar

import anyio
import msgspec
import structlog

from service.core.errors import (
    ChildLostError,
    ChildRaisedError,
    ChildStartError,
    ChildTimeoutError,
    FetchFailedError,
    SourceUnavailableError,
)
from service.processes.child import Child, start_child
from service.processes.child_spec import ChildSpec
from service.processes.child_threads import ChildThreads
from service.registry.messages import REGISTRY_ERRORS

T = TypeVar("T")

_TOLD_LINES = 1

_log = structlog.get_logger("registry")


class RegistryProcess:
    """Starts its process at the first call, and a new one after each that was killed or lost."""

    def __init__(
        self,
        spec: ChildSpec,
        threads: ChildThreads,
        start_timeout_s: float,
        unanswered: type[SourceUnavailableError | FetchFailedError],
        *,
        asked: str = "the registry",
        process: str = "the process that asks the registry",
    ) -> None:
        """`asked` and `process` are what they are called where it gives no answer."""
        self._asked = asked
        self._process = process
        self._unanswered = unanswered
        self._spec = msgspec.structs.replace(spec, errors=REGISTRY_ERRORS)
        self._threads = threads
        self._start_timeout_s = start_timeout_s
        self._child: Child | None = None
        self._one_call = anyio.Lock()

    @property
    def pid(self) -> int | None:
        """The process, while there is one."""
        return self._child.pid if self._child else None

    async def ask(self, op: str, request: object, reply: type[T], timeout_s: float) -> T:
        """Have the process run an operation of `registry/inside/client`; calls wait for each other.

        Raise the operation's own ServiceError, and `unanswered` where it gave no answer: it
        took longer than `timeout_s`, or it ended. A cancelled call ends the process, which is how
        a download is stopped.
        """
        async with self._one_call:
            try:
                child = await self._running()
                return await child.call(op, request, reply, timeout_s=timeout_s)
            except ChildTimeoutError as error:
                raise self._unanswered(
                    f"{self._asked} gave no answer within {timeout_s:g} s"
                ) from error
            except (ChildLostError, ChildStartError) as error:
                raise self._unanswered(self._ended(error)) from error
            except ChildRaisedError as error:
                _log.warning(
                    "registry process raised", child=self._spec.name, exception=error.detail
                )
                raise
            finally:
                if self._child is not None and not self._child.is_alive:
                    # It must not write any more while its files are removed.
                    await self.close()

    async def close(self) -> None:
        """End the process."""
        child, self._child = self._child, None
        if child is not None:
            await child.end()

    async def _running(self) -> Child:
        if self._child is not None and not self._child.is_alive:
            await self.close()
        if self._child is None:
            self._child = await start_child(self._spec, self._threads, self._start_timeout_s)
        return self._child

    def _ended(self, error: ChildLostError | ChildStartError) -> str:
        """Say how it ended, and what it printed last."""
        lines = error.last_lines[-_TOLD_LINES:] if isinstance(error, ChildLostError) else ()
        return ": ".join([self._process, str(error), *lines])
