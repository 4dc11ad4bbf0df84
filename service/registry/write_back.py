"""Tell in MLflow's own pages what became of a version: tags, written when there is time.

The person who promoted looks there. Nobody waits for it: news are kept until they are written,
the latest of each version alone, and given up after a few tries.
"""

import time
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime
from enum import StrEnum

import anyio
import msgspec
import structlog

from service.core.errors import ServiceError
from service.core.events import PromotionOutcome
from service.core.text import presentable
from service.core.versions import ModelVersion
from service.registry.messages import TagReply, TagRequest
from service.telemetry.observer import NullObserver

_TRIES = 5
_FIRST_PAUSE_S = 1.0
_LONGEST_PAUSE_S = 30.0
_KEPT = 100
_REASON_CHARACTERS = 500


class Status(StrEnum):
    """The values of the tag `hotswap.status`."""

    SERVING = "serving"
    REFUSED = "refused"
    RETIRED = "retired"


class _News(msgspec.Struct, frozen=True):
    """The news of one version, and since when it holds."""

    version: ModelVersion
    status: Status
    reason: str
    since: datetime


class WriteBack(NullObserver):
    """An observer that has a registry process, to which `ask` sends, write tags.

    For versions of a registry alone: runs and logged models have no page of their own.
    """

    def __init__(self, ask: Callable[[TagRequest], Awaitable[TagReply]], host: str) -> None:
        self._ask = ask
        self._host = host
        self._unwritten: dict[ModelVersion, _News] = {}
        self._noted = anyio.Event()
        self._failing = False
        self._log = structlog.get_logger("write-back")

    def serving_changed(self, version: ModelVersion | None, previous: ModelVersion | None) -> None:
        """Write that new requests go to a version, and that the one before is gone."""
        if version is not None:
            self._note(version, Status.SERVING, "it passed every gate")
        if previous is not None and previous != version:
            self._note(previous, Status.RETIRED, "it serves no more")

    def promotion_ended(
        self, version: ModelVersion, outcome: PromotionOutcome, reason: str
    ) -> None:
        """Write that a version will not serve, and why."""
        if outcome is PromotionOutcome.REFUSED:
            self._note(version, Status.REFUSED, reason)
        elif outcome is PromotionOutcome.ROLLED_BACK:
            self._note(version, Status.REFUSED, f"rolled back: {reason}")

    def _note(self, version: ModelVersion, status: Status, reason: str) -> None:
        reason = presentable(reason, _REASON_CHARACTERS)
        # Last, so that what comes later is written later.
        self._unwritten.pop(version, None)
        self._unwritten[version] = _News(version, status, reason, datetime.now(UTC))
        if len(self._unwritten) > _KEPT:
            del self._unwritten[next(iter(self._unwritten))]
        self._noted.set()

    async def run(self) -> None:
        """Write until cancelled."""
        while True:
            await self._noted.wait()
            self._noted = anyio.Event()
            while self._unwritten:
                await self._write(next(iter(self._unwritten.values())))

    async def _write(self, news: _News) -> None:
        """Write one version's news, or newer ones of it, or give them up."""
        pause_s = _FIRST_PAUSE_S
        for tries_left in reversed(range(_TRIES)):
            # What came meanwhile counts; where it was forgotten, there is nothing to write.
            latest = self._unwritten.get(news.version)
            if latest is None:
                return
            if await self._tell(latest, last_try=not tries_left):
                if self._unwritten.get(news.version) is latest:
                    del self._unwritten[news.version]
                return
            if tries_left:
                await anyio.sleep(pause_s)
                pause_s = min(2 * pause_s, _LONGEST_PAUSE_S)
        self._unwritten.pop(news.version, None)

    async def _tell(self, news: _News, *, last_try: bool) -> bool:
        """Have the tags written; return whether there is nothing more to try."""
        version, started = news.version, time.monotonic()
        log = self._log.bind(model=version.name, version=version.version, status=str(news.status))
        try:
            reply = await self._ask(TagRequest(version, self._tags(news)))
        except (ServiceError, OSError) as error:
            if not self._failing or last_try:
                outcome = "given up" if last_try else "to be tried again"
                log.warning("tags not written", reason=str(error), outcome=outcome)
            self._failing = True
            return False
        except Exception:
            # A crash barrier: tags are not worth a service.
            log.exception("tags not written")
            return True
        self._failing = False
        if reply.note:
            log.info("tags not written", reason=reply.note, outcome="given up")
        else:
            log.debug("tags written", took_s=round(time.monotonic() - started, 3))
        return True

    def _tags(self, news: _News) -> dict[str, str]:
        since = news.since.isoformat(timespec="seconds").replace("+00:00", "Z")
        # The status last: when it can be seen, so can its reason.
        return {
            "hotswap.reason": news.reason,
            "hotswap.since": since,
            "hotswap.host": self._host,
            "hotswap.status": str(news.status),
        }
