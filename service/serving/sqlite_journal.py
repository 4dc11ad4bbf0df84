"""A journal that outlasts the process: a SQLite file, written on the side and never waited for."""

import sqlite3
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import anyio
import anyio.to_thread
import msgspec
import structlog

from service.core.events import Ending, Promotion
from service.core.text import presentable
from service.serving import _journal_file
from service.serving.journal import KEPT_PROMOTIONS, MemoryJournal

_GATHER_S = 0.1
"""What a line may wait for those after it: a promotion is told in many steps."""
_FIRST_PAUSE_S = 1.0
_LONGEST_PAUSE_S = 60.0
_LAST_WRITE_S = 8.0
"""What the end of the service waits for the last lines: more than a writer waits for another."""
_UNKNOWN = "it was under way when this service started: elsewhere, or in a service that ended"


class SqliteJournal:
    """Answers from memory, which is filled from the file at the start, and writes behind.

    Promotions of one `pointer` belong together: other services may share the file, with the same
    pointer or another. What can't be written is logged once, kept, and tried again.
    """

    def __init__(self, file: Path, pointer: str) -> None:
        self._file = file
        self._pointer = pointer
        self.recalled = anyio.Event()
        """Set once what was written before is known, as far as it can be read."""
        self._memory = MemoryJournal()
        self._unwritten: dict[str, Promotion] = {}
        self._noted = anyio.Event()
        self._limiter = anyio.CapacityLimiter(1)
        self._failing = False
        self._log = structlog.get_logger("journal")

    def record(self, promotion: Promotion) -> None:
        """Write down a promotion, or what became of it."""
        self._memory.record(promotion)
        self._unwritten[_identity(promotion)] = promotion
        if len(self._unwritten) > KEPT_PROMOTIONS:
            del self._unwritten[next(iter(self._unwritten))]
        self._noted.set()

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
        pause_s = _FIRST_PAUSE_S
        while True:
            await self._noted.wait()
            self._noted = anyio.Event()
            while not await self._write():
                await anyio.sleep(pause_s)
                pause_s = min(2 * pause_s, _LONGEST_PAUSE_S)
            pause_s = _FIRST_PAUSE_S
            await anyio.sleep(_GATHER_S)

    async def _recall(self) -> None:
        try:
            texts = await anyio.to_thread.run_sync(
                _journal_file.read,
                self._file,
                self._pointer,
                KEPT_PROMOTIONS,
                limiter=self._limiter,
            )
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
            await anyio.to_thread.run_sync(
                _journal_file.write,
                self._file,
                self._pointer,
                rows,
                KEPT_PROMOTIONS,
                limiter=self._limiter,
            )
        except (sqlite3.Error, OSError) as error:
            self._fail(error)
            return False
        if self._failing:
            self._failing = False
            self._log.info("journal is written again")
        for identity, promotion in batch.items():
            # What became of it meanwhile is yet to be written.
            if self._unwritten.get(identity) is promotion:
                del self._unwritten[identity]
        return True

    def _fail(self, error: Exception) -> None:
        if not self._failing:
            self._failing = True
            reason = str(error) or type(error).__name__
            self._log.warning("journal can't be written", file=str(self._file), reason=reason)


def _identity(promotion: Promotion) -> str:
    return f"{promotion.noticed_at.isoformat()} {promotion.version.key}"


def _encoded(promotion: Promotion) -> str:
    hidden = msgspec.structs.replace(promotion, reason=presentable(promotion.reason))
    return msgspec.json.encode(hidden).decode()


def _decoded(text: str) -> Promotion | None:
    """Read a line, if it is one of ours."""
    try:
        promotion = msgspec.json.decode(text, type=Promotion)
    except msgspec.MsgspecError:
        return None
    if promotion.ending is Ending.UNDER_WAY:
        return msgspec.structs.replace(promotion, reason=_UNKNOWN)
    return promotion
