"""What a child process is to run, and under which limits."""

from pathlib import Path

import msgspec

from service.core.worker_limits import NO_LIMITS, WorkerLimits
from service.processes.protocol import Errors


class ChildSpec(msgspec.Struct, frozen=True):
    """What a child is to run.

    `target` is `module:function`, imported there and never here; `arguments` is what it is called
    with, encoded by msgpack; `environment` is set there before that; `log_fields` tag each line
    that it prints; `busy_poll_s` is how long it may poll for a call before it sleeps; `errors` are
    those of ours that its operations may raise. Of `most_calls` it answers the first, and the
    others lie in its pipe; a chunked call comes beside them. `interpreter` is the Python that runs
    it, None for the fork server's, which has everything imported already. `limits` hold for it and
    all that it starts.
    """

    target: str
    name: str
    arguments: bytes
    temp_dir: Path
    environment: dict[str, str] = {}
    log_fields: dict[str, str] = {}
    busy_poll_s: float = 0.0
    errors: Errors = {}
    most_calls: int = 1
    interpreter: Path | None = None
    limits: WorkerLimits = NO_LIMITS
