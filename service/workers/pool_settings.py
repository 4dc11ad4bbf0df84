"""What worker processes have in common, and what the workers of one version have."""

import uuid
from pathlib import Path

import msgspec

from service.core.worker_limits import NO_LIMITS, WorkerLimits
from service.predictors.answer_rules import AnswerRules

_HEARTBEATS_OWED = 10


class ProcessSettings(msgspec.Struct, frozen=True):
    """What a worker or compiler process needs before it knows of a version; durations in seconds.

    `variables` are what it gets beside the server process's own variables. `busy_poll_s` is how
    long a worker may poll for its next call before it sleeps, and `limits` is what model code may
    take and do at most.
    """

    temp_dir: Path
    variables: dict[str, str]
    start_timeout_s: float
    heartbeat_interval_s: float
    busy_poll_s: float = 0.0
    limits: WorkerLimits = NO_LIMITS

    @property
    def heartbeat_timeout_s(self) -> float:
        """How long a worker may owe a heartbeat before it is replaced."""
        return _HEARTBEATS_OWED * self.heartbeat_interval_s

    def new_folder(self) -> Path:
        """Name a folder, not made yet, for a process that is to have files of its own."""
        return self.temp_dir / "models" / uuid.uuid4().hex[:12]


class PoolSettings(msgspec.Struct, frozen=True):
    """How many workers a version gets, with how many threads each, and how they answer."""

    workers: int
    threads: int
    load_timeout_s: float
    refuse_unknown: bool
    process: ProcessSettings
    answers: AnswerRules = AnswerRules()
