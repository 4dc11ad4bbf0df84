"""Writes into the log what becomes of a deployment's promotions."""

import structlog

from service.core.environments import BuildOutcome, BuildProgress, BuildReport
from service.core.events import PromotionOutcome, Trigger
from service.core.states import State
from service.core.verdicts import Verdict
from service.core.versions import ModelVersion, StoredVersion
from service.telemetry.observer import NullObserver


class LogObserver(NullObserver):
    """Logs a line for each event that a person who follows a promotion wants to read.

    Each names the model by its name in this service.
    """

    def __init__(self, model: str) -> None:
        self._log = structlog.get_logger("rollout", model=model)
        self._serving: ModelVersion | None = None
        self._replaced: ModelVersion | None = None
        self._step = ""

    def promotion_began(self, version: ModelVersion, trigger: Trigger) -> None:
        """Log by what it was noticed."""
        self._log.info("promotion noticed", version=version.version, trigger=str(trigger))

    def version_stored(self, stored: StoredVersion, duration_s: float) -> None:
        """Log the digest of its files."""
        version, took_s = stored.version.version, round(duration_s, 6)
        self._log.info("version in the store", version=version, took_s=took_s, digest=stored.digest)

    def environment_progressed(self, version: ModelVersion, progress: BuildProgress) -> None:
        """Log each step of a build once; how far that is stands elsewhere."""
        if progress.step != self._step:
            self._step = progress.step
            self._log.info(
                "environment under way",
                version=version.version,
                step=progress.step,
                detail=progress.detail,
            )

    def environment_ended(
        self, version: ModelVersion, outcome: BuildOutcome, report: BuildReport, duration_s: float
    ) -> None:
        """Log what came of it, and what that took; the verdict says it in words."""
        self._step = ""
        self._log.info(
            "environment",
            version=version.version,
            outcome=str(outcome),
            took_s=round(duration_s, 3),
            downloaded_bytes=report.downloaded_bytes,
            bytes=report.bytes,
            packages=report.packages,
            lock=report.lock_digest,
        )

    def gate_ended(self, version: ModelVersion, verdict: Verdict) -> None:
        """Log the verdict."""
        self._log.info(
            "gate",
            version=version.version,
            gate=verdict.gate,
            outcome=str(verdict.outcome),
            reason=verdict.reason,
        )

    def serving_changed(self, version: ModelVersion | None, previous: ModelVersion | None) -> None:
        """Keep both for the line on the promotion, which is told next."""
        self._serving, self._replaced = version, previous

    def promotion_ended(
        self, version: ModelVersion, outcome: PromotionOutcome, reason: str
    ) -> None:
        """Log what serves now, or why the version does not."""
        log = self._log.bind(version=version.version)
        match outcome:
            case PromotionOutcome.SERVING:
                log.info("version serves", replaced=_number(self._replaced))
            case PromotionOutcome.ROLLED_BACK:
                log.error("version rolled back", serves=_number(self._serving), reason=reason)
            case _:
                log.warning("promotion ended", ending=str(outcome), reason=reason)

    def state_entered(self, version: ModelVersion, state: State, reason: str) -> None:
        """Log that nothing of a version is left; the other states stand in other lines."""
        del reason
        if state is State.UNLOADED:
            self._log.info("version gone", version=version.version)


def _number(version: ModelVersion | None) -> str | None:
    return None if version is None else version.version
