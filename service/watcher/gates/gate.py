"""The two kinds of gates, and their findings."""

from typing import Protocol

import msgspec
import structlog

from service.core.errors import ChildLostError
from service.core.verdicts import Outcome
from service.core.versions import ModelVersion, StoredVersion
from service.serving.model import LoadedModel
from service.workers.messages import Timing

_TOLD_LINES = 5


class Finding(msgspec.Struct, frozen=True):
    """The finding of a gate on one candidate.

    `row_wise`, `timings` and `example` are for the proof; None where a gate finds out nothing of
    them. `signed_by` is the key that signed the version, where one was asked for.
    """

    outcome: Outcome
    reason: str
    row_wise: bool | None = None
    timings: tuple[Timing, ...] | None = None
    example: bytes | None = None
    signed_by: str = ""


class FilesGate(Protocol):
    """One check of a version's files, before it is loaded."""

    name: str

    async def check(self, stored: StoredVersion) -> Finding:
        """Pass or refuse the version.

        A failure that says nothing of the version (a full disk, no process to be had) is raised
        as it is: the rollout tries again later.
        """
        ...


class ModelGate(Protocol):
    """One check of a loaded version."""

    name: str
    compares: bool
    """Whether it looks at what serves: then it is passed again if another version serves by now."""

    async def check(self, candidate: LoadedModel, incumbent: LoadedModel | None) -> Finding:
        """Pass or refuse the candidate, and change nothing of it. Raise as `FilesGate.check` does.

        The incumbent is what serves when the gate begins; None at the first start.
        """
        ...


def log_of(version: ModelVersion) -> structlog.typing.FilteringBoundLogger:
    """Return a logger that names a candidate's version."""
    log: structlog.typing.FilteringBoundLogger = structlog.get_logger(
        "gate", model=version.name, version=version.version
    )
    return log


def refuse_lost(error: ChildLostError) -> Finding:
    """Refuse a candidate whose process ended, with what it printed last.

    Raise the error itself where somebody else killed the process: that says nothing of the
    candidate, and is tried again.
    """
    if error.killed_from_outside:
        raise error
    if error.over_limit:
        return Finding(Outcome.REFUSE, f"its process was ended: {error.over_limit}")
    lines = error.last_lines[-_TOLD_LINES:]
    if not lines:
        return Finding(Outcome.REFUSE, "its process ended without a word")
    reason = f"its process ended; it printed last: {' | '.join(lines)}"
    return Finding(Outcome.REFUSE, reason)
