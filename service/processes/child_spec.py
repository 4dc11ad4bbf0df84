"""What a child process is to run, by what it is started, and under which limits."""

from collections.abc import Mapping
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any, Protocol

import msgspec

from service.core.worker_limits import NO_LIMITS, WorkerLimits
from service.processes.output import OutputEnd
from service.processes.protocol import Errors
from service.processes.started import Process


class Forks(Protocol):
    """What forks children that have everything imported; `fork_server.ForkServer` does."""

    async def fork(
        self,
        connection: "Connection[Any, Any]",
        output: OutputEnd,
        mark: int,
        timeout_s: float,
    ) -> Process:
        """Return a process that waits for what it is to run. Raise ServiceError or OSError."""
        ...


class ChildSpec(msgspec.Struct, frozen=True):
    """What a child is to run.

    `target` is `module:function`, imported there and never here; `arguments` is what it is called
    with, encoded by msgpack; `variables` are set there before that; `log_fields` tag each line
    that it prints; `busy_poll_s` is how long it may poll for a call before it sleeps; `errors` are
    those of ours that its operations may raise. Of `most_calls` it answers the first, and the
    others lie in its pipe; a chunked call comes beside them. `limits` hold for it and all that it
    starts.

    `interpreter` is the Python that runs it, by command line, with `first_variables` (None for this
    process's own) and `descriptors`, which keep their numbers. `forked_by` is what forks it in
    another environment. Without both it comes from the service's own fork server.
    """

    target: str
    name: str
    arguments: bytes
    temp_dir: Path
    variables: dict[str, str] = {}
    log_fields: dict[str, str] = {}
    busy_poll_s: float = 0.0
    errors: Errors = {}
    most_calls: int = 1
    interpreter: Path | None = None
    first_variables: Mapping[str, str] | None = None
    descriptors: tuple[int, ...] = ()
    forked_by: Forks | None = None
    limits: WorkerLimits = NO_LIMITS

    @property
    def is_of_own_environment(self) -> bool:
        """Whether it runs in another environment than this process."""
        return self.interpreter is not None or self.forked_by is not None
