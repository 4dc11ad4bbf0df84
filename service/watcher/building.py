"""A rollout's step in which the candidate gets the environment that it is to run in."""

import time
from collections.abc import Callable

import anyio
import msgspec
import structlog

from service.core.environments import (
    BuildOutcome,
    BuildReport,
    Environment,
    EnvironmentSettings,
    outcome_of,
)
from service.core.errors import EnvironmentRefusedError, ServiceError
from service.core.verdicts import Outcome
from service.environments.environment_store import EnvironmentStore, OnProgress
from service.watcher.gates.gate import Finding
from service.watcher.prepared import Prepared
from service.watcher.verdict_log import VerdictLog

ENVIRONMENT = "environment"
"""The verdict on this step has this name, as the gate has that compares with what is installed."""
_log = structlog.get_logger("rollout")

OnEnded = Callable[[BuildOutcome, BuildReport, float], None]
_SHOWN = 20
_MB = 1e6


def _untold(*_: object) -> None:
    """Tell nobody."""


class BuildStep(msgspec.Struct, frozen=True):
    """What finds the environments of a deployment's versions, or builds them."""

    store: EnvironmentStore
    wanted: EnvironmentSettings

    async def run(
        self,
        prepared: Prepared,
        verdicts: VerdictLog,
        progress: OnProgress = _untold,
        ended: OnEnded = _untold,
    ) -> None:
        """Give a version the environment that it is to run in, which is held with its files.

        `ended` is told what came of it, and how many seconds that took. Raise RefusedError where it
        can't be had. What says nothing of the version is raised as it is: the rollout tries again
        later.
        """
        started = time.monotonic()
        outcome, report = BuildOutcome.FAILED, BuildReport()
        try:
            held = await self.store.ensure(prepared.stored, self.wanted, progress)
            prepared.take(held)
            outcome, report = outcome_of(held.environment, held.report), held.report
            found = Finding(Outcome.PASS, told(held.environment, report))
        except EnvironmentRefusedError as error:
            outcome, found = BuildOutcome.REFUSED, Finding(Outcome.REFUSE, str(error))
        except anyio.get_cancelled_exc_class():
            outcome = BuildOutcome.CANCELLED
            raise
        finally:
            seconds = time.monotonic() - started
            ended(outcome, report, seconds)
        verdicts.add(ENVIRONMENT, found, seconds)

    async def prune(self) -> None:
        """Remove environments that nothing uses, where all of them take more than they may."""
        try:
            await self.store.prune(self.wanted.cache_bytes)
        except (OSError, ServiceError) as error:
            _log.warning("environments not pruned", reason=str(error))


def told(environment: Environment, report: BuildReport) -> str:
    """Say in words which environment a version runs in, and how that came to be there."""
    notes = "".join(f"; {note}" for note in report.notes)
    if environment.is_shared:
        return f"it shares the service's environment, which has all that it needs{notes}"
    has = f"its own environment, with Python {environment.python} and {report.packages} packages"
    by = f", as {report.found_by} says" if report.found_by else ""
    differs = f"; in the service's own: {_listed(report.differs)}" if report.differs else ""
    return f"{has}{by}; {_how_built(report)}{differs}{notes}"


def _how_built(report: BuildReport) -> str:
    if report.was_there:
        return "it was there"
    loaded = "nothing downloaded"
    if report.downloaded_bytes:
        loaded = f"{report.downloaded_bytes / _MB:.1f} MB downloaded in {report.download_s:.1f} s"
    size = f"{report.bytes / _MB:.0f} MB"
    return (
        f"built in {report.seconds:.1f} s: {loaded}, {size} installed in {report.install_s:.1f} s"
    )


def _listed(sentences: tuple[str, ...]) -> str:
    more = len(sentences) - _SHOWN
    return "; ".join([*sentences[:_SHOWN], *([f"and {more} more"] if more > 0 else [])])
