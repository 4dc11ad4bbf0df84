"""A journal that outlasts the process: a SQLite file, written on the side and never waited for."""

import sqlite3
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import TypeVar

import anyio
import anyio.to_thread
import msgspec
import structlog

from service.control import journal_file
from service.control.journal import KEPT_PROMOTIONS, MemoryJournal
from service.core.events import Promotion, PromotionOutcome
from service.core.text import presentable

T = TypeVar("T")

_GATHER_S = 0.1
"""A line waits this long for those after it, since a promotion is told in many steps."""
FIRST_PAUSE_S = 1.0
_LONGEST_PAUSE_S = 60.0
_LAST_WRITE_S = 8.0
"""The end of the service waits this long for the last lines, which may wait for another writer."""
_UNKNOWN = "it was under way when this service started: elsewhere, or in a service that ended"


class SqliteJournal:
    """Answers from memory, which is filled from the file at the start, and writes behind.

    Promotions of one `pointer` belong together: other services may share the file, with the same
    pointer or another. What can't be written is logged once, kept, and tried again.
    """

    def __init__(self, file: Path, pointer: str, first_pause_s: float = FIRST_PAUSE_S) -> None:
        self._file = file
        self._pointer = pointer
        self._first_pause_s = first_pause_s
        self.recalled = anyio.Event()
        """Set once what was written before is known, as far as it can be read."""
        self._memory = MemoryJournal()
        self._unwritten: dict[str, Promotion] = {}
        self._noted = anyio.Event()
        self._limiter = anyio.CapacityLimiter(1)
        self._failing = ""
        self._elsewhere = ""
        self._log = structlog.get_logger("journal")

    def record(self, promotion: Promotion) -> None:
        """Write down a promotion, or what became of it."""
        self._memory.record(promotion)
        self._unwritten[_identity(promotion)] = promotion
        if len(self._unwritten) > KEPT_PROMOTIONS:
            del self._unwritten[next(iter(self._unwritten))]
        self._noted.set()

    @property
    def unwritten(self) -> int:
        """How many promotions are still to be written."""
        return len(self._unwritten)

    @property
    def trouble(self) -> str:
        """What is wrong with the file, '' where nothing is."""
        return self._failing or self._elsewhere

    def last(self, count: int) -> list[Promotion]:
        """Return the newest promotions, the newest first."""
        return self._memory.last(count)

    @asynccontextmanager
    async def open(self) -> AsyncIterator[None]:
        """Recall what was written before, and write what is recorded meanwhile, to the last."""
        async with anyio.create_task_group() as writing:
            writing.start_soon(self._keep_writing)
            yield
            writing.cancel_scope.cancel()
        with anyio.move_on_after(_LAST_WRITE_S, shield=True):
            await self._write()

    async def _keep_writing(self) -> None:
        # Before the first line is written: what is recalled is all from before.
        await self._recall()
        self.recalled.set()
        pause_s = self._first_pause_s
        while True:
            await self._noted.wait()
            self._noted = anyio.Event()
            while not await self._write():
                await anyio.sleep(pause_s)
                pause_s = min(2 * pause_s, _LONGEST_PAUSE_S)
            pause_s = self._first_pause_s
            await anyio.sleep(_GATHER_S)

    async def _recall(self) -> None:
        try:
            texts = await self._on_file(journal_file.read, self._pointer, KEPT_PROMOTIONS)
        except (sqlite3.Error, OSError) as error:
            self._fail(error)
            return
        known = (_decoded(text) for text in reversed(texts))
        self._memory.recall([promotion for promotion in known if promotion is not None])

    async def _write(self) -> bool:
        """Write what is not written yet; return whether it is now."""
        batch = dict(self._unwritten)
        if not batch:
            return True
        rows = [(identity, _encoded(promotion)) for identity, promotion in batch.items()]
        try:
            await self._on_file(journal_file.write, self._pointer, rows, KEPT_PROMOTIONS)
        except (sqlite3.Error, OSError) as error:
            self._fail(error)
            return False
        if self._failing:
            self._failing = ""
            self._log.info("journal is written again")
        for identity, promotion in batch.items():
            # What became of it meanwhile is yet to be written.
            if self._unwritten.get(identity) is promotion:
                del self._unwritten[identity]
        return True

    async def _on_file(self, work: Callable[..., T], *arguments: object) -> T:
        """Do work on the file in the journal's thread; one of another layout is left alone."""
        try:
            return await anyio.to_thread.run_sync(
                work, self._file, *arguments, limiter=self._limiter
            )
        except journal_file.OtherLayoutError as error:
            if self._elsewhere:
                raise
            other = self._file
            self._file = other.with_stem(f"{other.stem}-layout{journal_file.LAYOUT}")
            self._elsewhere = f"the journal is kept in {self._file}, since {other}: {error}"
            self._log.warning("journal kept elsewhere", reason=self._elsewhere)
        return await self._on_file(work, *arguments)

    def _fail(self, error: Exception) -> None:
        if not self._failing:
            reason = str(error) or type(error).__name__
            self._failing = f"the journal can't be written ({self._file}): {reason}"
            self._log.warning("journal can't be written", file=str(self._file), reason=reason)


def _identity(promotion: Promotion) -> str:
    return f"{promotion.noticed_at.isoformat()} {promotion.version.key}"


def _encoded(promotion: Promotion) -> str:
    hidden = msgspec.structs.replace(promotion, reason=presentable(promotion.reason))
    return msgspec.json.encode(hidden).decode()


def _decoded(text: bytes) -> Promotion | None:
    """Read a line, if it is one of ours."""
    try:
        promotion = msgspec.json.decode(text, type=Promotion)
    except (msgspec.MsgspecError, ValueError, RecursionError):
        return None
    if promotion.outcome is PromotionOutcome.UNDER_WAY:
        return msgspec.structs.replace(promotion, reason=_UNKNOWN)
    return promotion
