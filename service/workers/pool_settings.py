"""What the workers of every version have in common."""

import uuid
from pathlib import Path

import msgspec

from service.predictors.answer_rules import AnswerRules


class PoolSettings(msgspec.Struct, frozen=True):
    """How many workers, with how many threads each, and what may take how long (seconds).

    `spin_s` is how long a worker may look out for its next call before it sleeps.
    """

    workers: int
    threads: int
    start_timeout_s: float
    load_timeout_s: float
    heartbeat_interval_s: float
    heartbeat_timeout_s: float
    refuse_unknown: bool
    temp_dir: Path
    environment: dict[str, str]
    spin_s: float = 0.0
    answers: AnswerRules = AnswerRules()

    def new_folder(self) -> Path:
        """Name a folder, not made yet, for a process that is to have files of its own."""
        return self.temp_dir / "models" / uuid.uuid4().hex[:12]
