"""The journal's work on its file: plain functions that block, called in its thread.

A connection lasts for one piece of work, so that no service goes on writing into a file that
another one found damaged and moved aside.
"""

import contextlib
import errno
import sqlite3
import stat
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TypeVar

import filelock
import structlog

T = TypeVar("T")

_BUSY_S = 5.0
"""Another service that writes is waited for up to this time."""
_MOST_ROWS = 20_000
"""The file keeps this many promotions of all pointers that were ever followed with it."""
LAYOUT = 1
"""The user_version of a file that has these columns."""
_DAMAGE = frozenset({sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB, sqlite3.SQLITE_ERROR})
"""These mean that a file is damaged; the last one is met where it lacks our columns."""
_CREATE = """
CREATE TABLE IF NOT EXISTS promotions (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    pointer TEXT NOT NULL,
    identity TEXT NOT NULL,
    promotion TEXT NOT NULL,
    UNIQUE (pointer, identity)
)"""
_UPSERT = """
INSERT INTO promotions (pointer, identity, promotion) VALUES (?, ?, ?)
ON CONFLICT (pointer, identity) DO UPDATE SET promotion = excluded.promotion"""
# By id, which is the order of writing: a clock may be set back.
_PRUNE = """
DELETE FROM promotions WHERE pointer = ? AND id <=
    (SELECT id FROM promotions WHERE pointer = ? ORDER BY id DESC LIMIT 1 OFFSET ?)"""
_PRUNE_ALL = "DELETE FROM promotions WHERE id <= (SELECT max(id) FROM promotions) - ?"
# As bytes, which can be anything; and nothing that is larger than any promotion.
_NEWEST = """
SELECT CAST(promotion AS BLOB) FROM promotions
WHERE pointer = ? AND length(promotion) < 1000000 ORDER BY id DESC LIMIT ?"""

_log = structlog.get_logger("journal")


class OtherLayoutError(sqlite3.DatabaseError):
    """A file that a later service wrote, or another program: it is left alone."""


class _UnreadableError(sqlite3.DatabaseError):
    """What sqlite3 could not even say of a damaged file: its sentence is no text."""


def write(file: Path, pointer: str, rows: Sequence[tuple[str, str]], kept: int) -> None:
    """Write identities with their promotions, over what was written of them; forget the oldest.

    Raise sqlite3.Error or OSError where the disk, or another writer, does not let us.
    """

    def work(db: sqlite3.Connection) -> None:
        db.execute("BEGIN IMMEDIATE")
        db.executemany(_UPSERT, [(pointer, *row) for row in rows])
        db.execute(_PRUNE, (pointer, pointer, kept))
        db.execute(_PRUNE_ALL, (_MOST_ROWS,))
        db.execute("COMMIT")

    _with_file(file, work)


def read(file: Path, pointer: str, count: int) -> list[bytes]:
    """Return a pointer's newest promotions, the newest first, and raise as `write` does."""

    def work(db: sqlite3.Connection) -> list[bytes]:
        return [row[0] for row in db.execute(_NEWEST, (pointer, count))]

    return _with_file(file, work)


def _with_file(file: Path, work: Callable[[sqlite3.Connection], T]) -> T:
    """Do a piece of work; where the file is damaged, on a new one."""
    try:
        return _once(file, work)
    except sqlite3.DatabaseError as error:
        if not _is_damage(error):
            raise
    with filelock.FileLock(file.with_suffix(".lock"), timeout=_BUSY_S):
        try:
            # Another service may have moved it aside meanwhile.
            return _once(file, work)
        except sqlite3.DatabaseError as error:
            if not _is_damage(error):
                raise
            aside = file.with_suffix(".damaged")
            file.replace(aside)
            # What was to be rolled back in the old file must not be in the new one.
            Path(f"{file}-journal").unlink(missing_ok=True)
            _log.warning("journal damaged: a new one begins", reason=str(error), old=str(aside))
        return _once(file, work)


def _once(file: Path, work: Callable[[sqlite3.Connection], T]) -> T:
    # A pipe or the like would keep us for ever.
    with contextlib.suppress(FileNotFoundError):
        if not stat.S_ISREG(file.stat().st_mode):
            raise OSError(errno.EINVAL, "it is no regular file", str(file))
    # Closing it rolls back what was not committed.
    with contextlib.closing(sqlite3.connect(file, _BUSY_S, isolation_level=None)) as db:
        (layout,) = db.execute("PRAGMA user_version").fetchone()
        if layout == 0:
            _create(db)
        elif layout != LAYOUT:
            raise OtherLayoutError(f"its layout is {layout}, and {LAYOUT} is known here")
        try:
            return work(db)
        except UnicodeError as error:
            # The names and the schema in the file, which its errors repeat, are damaged.
            raise _UnreadableError(str(error)) from error


def _create(db: sqlite3.Connection) -> None:
    db.execute("BEGIN IMMEDIATE")
    db.execute(_CREATE)
    db.execute(f"PRAGMA user_version = {LAYOUT}")
    db.execute("COMMIT")


def _is_damage(error: sqlite3.DatabaseError) -> bool:
    if isinstance(error, _UnreadableError):
        return True
    # The lowest byte is the kind, the others say more of it.
    return getattr(error, "sqlite_errorcode", 0) & 0xFF in _DAMAGE
