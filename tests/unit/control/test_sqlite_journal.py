import contextlib
import os
import sqlite3
import sys
import threading
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import anyio
import anyio.to_thread
import msgspec
import pytest
import structlog
from anyio.lowlevel import checkpoint

from service.control import journal_file
from service.control.journal import KEPT_PROMOTIONS, Journal
from service.control.sqlite_journal import FIRST_PAUSE_S, SqliteJournal
from service.core.events import PromotionOutcome
from tests.support.promotions import a_promotion
from tests.support.waiting import until

WRITTEN_WITHIN_S = 10.0
POINTER = "models:/m@champion at http://registry.test"


@pytest.fixture
def file(tmp_path: Path) -> Path:
    """Name a file that is not there yet."""
    return tmp_path / "journal.db"


@asynccontextmanager
async def opened(
    file: Path, pointer: str = POINTER, first_pause_s: float = FIRST_PAUSE_S
) -> AsyncIterator[SqliteJournal]:
    """Open a journal that has recalled what there is."""
    journal = SqliteJournal(file, pointer, first_pause_s)
    async with journal.open():
        await journal.recalled.wait()
        yield journal


def is_written(journal: SqliteJournal) -> bool:
    """Whether nothing is left to write."""
    return not journal.unwritten


def events(logs: list[Any]) -> list[str]:
    """Return what was logged, by name."""
    return [entry["event"] for entry in logs]


def replace(file: Path, what: bytes, instead: bytes) -> None:
    """Write something else into a file wherever it holds this, which it must."""
    before = content(file)
    assert what in before
    file.write_bytes(before.replace(what, instead))


def content(file: Path) -> bytes:
    """Return what is in a file."""
    return file.read_bytes()


def harm(file: Path, how: str) -> None:
    """Do what a failing disk, a careless hand or a later version of this service may do."""
    match how:
        case "no database":
            file.write_bytes(b"something else " * 100)
        case "cut":
            file.write_bytes(file.read_bytes()[:5000])
        case _:
            with contextlib.closing(sqlite3.connect(file)) as db:
                db.execute("PRAGMA user_version = 7")


async def test_it_survives_a_restart(file: Path) -> None:
    """All of each promotion, the newest first, and what is recorded then comes before it."""
    written = [a_promotion(number, number) for number in range(3)]
    ended = msgspec.structs.replace(
        written[2], outcome=PromotionOutcome.SERVING, durations_s={"fetch": 0.5, "drain": 1.25}
    )
    failed = msgspec.structs.replace(
        written[1], outcome=PromotionOutcome.FAILED, reason="disk full"
    )
    async with opened(file) as journal:
        for promotion in (*written, failed, ended):
            journal.record(promotion)
    async with opened(file) as journal:
        assert journal.last(2) == [ended, failed]
        journal.record(a_promotion(9, 9))
        assert journal.last(2) == [a_promotion(9, 9), ended]
    async with opened(file) as journal:
        assert [promotion.version.version for promotion in journal.last(9)] == ["9", "2", "1", "0"]


async def test_what_nobody_saw_the_end_of_is_said_so(file: Path) -> None:
    """A service that was killed could not write what came of it."""
    async with opened(file) as journal:
        journal.record(a_promotion(1))
    async with opened(file) as journal:
        (promotion,) = journal.last(1)
        assert promotion.outcome is PromotionOutcome.UNDER_WAY
        assert "when this service started" in promotion.reason


async def test_it_is_bounded_on_disk(file: Path) -> None:
    """The oldest of a pointer are forgotten."""
    async with opened(file) as journal:
        for minute in range(KEPT_PROMOTIONS):
            journal.record(a_promotion(1, minute))
        await until(lambda: is_written(journal), WRITTEN_WITHIN_S)
        for minute in range(7):
            journal.record(a_promotion(2, minute))
    assert len(journal_file.read(file, POINTER, 10_000)) == KEPT_PROMOTIONS
    async with opened(file) as journal:
        assert journal.last(10_000)[-1].noticed_at == a_promotion(1, 7).noticed_at


async def test_services_share_a_file_and_keep_their_pointers_apart(file: Path) -> None:
    """Two that write together lose nothing; those that follow the same pointer read both."""
    other = "models:/m/Production at http://registry.test"
    async with opened(file) as one, opened(file) as twin, opened(file, other) as stranger:
        for minute in range(20):
            one.record(a_promotion(1, 2 * minute))
            twin.record(a_promotion(1, 2 * minute + 1))
            stranger.record(a_promotion(7, minute))
            await checkpoint()
    async with opened(file) as again, opened(file, other) as stranger:
        assert {promotion.noticed_at for promotion in again.last(99)} == {
            a_promotion(1, minute).noticed_at for minute in range(40)
        }
        assert {promotion.version.version for promotion in stranger.last(99)} == {"7"}


async def test_another_writer_holds_up_nobody(file: Path) -> None:
    """Recording and reading go on immediately, and what was recorded is written later."""
    async with opened(file) as journal:
        journal.record(a_promotion(1))
        await until(lambda: is_written(journal), WRITTEN_WITHIN_S)
        with contextlib.closing(sqlite3.connect(file, isolation_level=None)) as holder:
            holder.execute("BEGIN EXCLUSIVE")
            with anyio.fail_after(0.5):
                journal.record(a_promotion(2, 1))
                assert journal.last(1) == [a_promotion(2, 1)]
                await anyio.sleep(0.05)
            assert not is_written(journal)
            holder.execute("ROLLBACK")
        await until(lambda: is_written(journal), WRITTEN_WITHIN_S)
    assert len(journal_file.read(file, POINTER, 9)) == 2


async def test_a_journal_that_cannot_be_written_is_logged_once_and_tried_again(
    tmp_path: Path,
) -> None:
    """It goes on in memory; once the disk lets it, what was recorded meanwhile is written."""
    file = tmp_path / "later" / "journal.db"
    with structlog.testing.capture_logs() as logs:
        async with opened(file, first_pause_s=0.02) as journal:
            for minute in range(KEPT_PROMOTIONS + 3):
                journal.record(a_promotion(1, minute))
            await anyio.sleep(0.1)
            assert journal.unwritten == KEPT_PROMOTIONS
            assert journal.last(1) == [a_promotion(1, KEPT_PROMOTIONS + 2)]
            file.parent.mkdir()
            await until(lambda: is_written(journal), WRITTEN_WITHIN_S)
    assert events(logs) == ["journal can't be written", "journal is written again"]
    assert len(journal_file.read(file, POINTER, 9999)) == KEPT_PROMOTIONS


async def test_a_file_of_another_layout_is_left_alone(file: Path) -> None:
    """A later service, or another program, has it: the journal is kept beside it, and says so."""
    async with opened(file) as journal:
        journal.record(a_promotion(1))
    harm(file, "another layout")
    before = content(file)
    for number in (2, 3):
        async with opened(file) as journal:
            assert "layout is 7" in journal.trouble
            assert "journal-layout1.db" in journal.trouble
            journal.record(a_promotion(number, number))
    assert [promotion.version.version for promotion in journal.last(9)] == ["3", "2"]
    assert content(file) == before
    assert not file.with_suffix(".damaged").exists()


@pytest.mark.skipif(sys.platform == "win32", reason="it has no pipes in folders")
@pytest.mark.parametrize("what", ["folder", "pipe"])
async def test_what_is_no_file_holds_up_nobody(file: Path, what: str) -> None:
    """It is told; the journal goes on in memory, and ends with the service."""
    await anyio.to_thread.run_sync(Path.mkdir if what == "folder" else os.mkfifo, file)
    with anyio.fail_after(WRITTEN_WITHIN_S):
        async with opened(file) as journal:
            journal.record(a_promotion(1))
            await until(lambda: bool(journal.trouble), WRITTEN_WITHIN_S)
            assert journal.last(9) == [a_promotion(1)]


@pytest.mark.parametrize("damage", ["no database", "cut"])
async def test_a_damaged_file_is_moved_aside(file: Path, damage: str) -> None:
    """A line tells of it, a new one begins, and the old one can be looked at."""
    async with opened(file) as journal:
        for minute in range(KEPT_PROMOTIONS):
            journal.record(a_promotion(1, minute))
    harm(file, damage)
    before = content(file)
    with structlog.testing.capture_logs() as logs:
        async with opened(file) as journal:
            assert journal.last(9) == []
            journal.record(a_promotion(2))
    assert events(logs) == ["journal damaged: a new one begins"]
    assert content(file.with_suffix(".damaged")) == before
    async with opened(file) as journal:
        assert len(journal.last(9)) == 1


async def test_of_two_that_find_a_damaged_file_one_moves_it(file: Path) -> None:
    """The other must not take the new one for the damaged one."""
    harm(file, "no database")
    with structlog.testing.capture_logs() as logs:
        async with anyio.create_task_group() as both:
            for number in range(4):
                row = (str(number), msgspec.json.encode(a_promotion(number)).decode())
                both.start_soon(
                    anyio.to_thread.run_sync, journal_file.write, file, POINTER, [row], 99
                )
    assert len(events(logs)) == 1
    assert len(journal_file.read(file, POINTER, 99)) == 4


@pytest.mark.parametrize(
    ("what", "instead"),
    [
        (b"promotion TEXT", b"promotio\xb1 TEXT"),
        (b"CREATE TABLE", b"CREATE\xb1TABLE"),
        (b"UNIQUE (pointer", b"UNIQUE (\xb1\xff\xfeoter"),
    ],
)
async def test_a_schema_that_is_no_text_is_damage(file: Path, what: bytes, instead: bytes) -> None:
    """Then sqlite3 can't even name what is wrong: the file is moved aside, and a new one begins."""
    async with opened(file) as journal:
        journal.record(a_promotion(1))
        await until(lambda: is_written(journal), WRITTEN_WITHIN_S)
    replace(file, what, instead)
    async with opened(file) as journal:
        assert journal.last(1) == []
        journal.record(a_promotion(2))
        await until(lambda: is_written(journal), WRITTEN_WITHIN_S)
    assert file.with_suffix(".damaged").exists()


async def test_a_line_that_is_not_ours_is_passed_over(file: Path) -> None:
    """A later version of this service may write what this one can't read."""
    texts = ["{}", "no JSON", "[" * 100_000, "9" * 5000, '"' + "x" * 2_000_000 + '"']
    journal_file.write(file, POINTER, list(zip("abcde", texts, strict=True)), 99)
    with contextlib.closing(sqlite3.connect(file)) as db:
        db.execute("UPDATE promotions SET promotion = x'ff00' WHERE identity = 'a'")
        db.execute("UPDATE promotions SET promotion = 7 WHERE identity = 'b'")
        db.commit()
    async with opened(file) as journal:
        journal.record(a_promotion(1))
        assert journal.last(9) == [a_promotion(1)]


async def test_credentials_are_not_written(file: Path) -> None:
    """What failed may name the place, with the password."""
    reason = "https://user:geheim@registry.test said no"
    async with opened(file) as journal:
        journal.record(
            msgspec.structs.replace(a_promotion(1), outcome=PromotionOutcome.FAILED, reason=reason)
        )
    assert b"said no" in content(file)
    assert b"geheim" not in content(file)


async def test_the_file_is_never_touched_on_the_event_loop(
    file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Every connection is made in another thread."""
    threads: list[int] = []
    connect: Callable[..., sqlite3.Connection] = sqlite3.connect

    def watched(*arguments: Any, **more: Any) -> sqlite3.Connection:
        threads.append(threading.get_ident())
        return connect(*arguments, **more)

    monkeypatch.setattr(sqlite3, "connect", watched)
    async with opened(file) as journal:
        assert isinstance(journal, Journal)
        journal.record(a_promotion(1))
    assert len(threads) >= 2
    assert threading.get_ident() not in threads
