"""Compiled predictors are used by every worker, until they fail in one."""

import pytest
import structlog

from service.core.errors import ChildLostError
from service.predictors.report import Report
from service.workers.activation import Adoption
from service.workers.messages import AdoptReply

pytestmark = pytest.mark.anyio

REPORT = Report((), {1: "trees"}, "direct", (), 2048, 1e-12, 1, 0.5)


class FakeWorker:
    """A worker that answers as it is told."""

    def __init__(self, said: AdoptReply | Exception, compiled: str = "") -> None:
        self.said = said
        self.compiled = compiled
        self.asked: list[str] = []

    async def adopt(self, compiled: str, timeout_s: float) -> AdoptReply:
        """Answer at once."""
        assert timeout_s == 5
        self.asked.append(compiled)
        if isinstance(self.said, Exception):
            raise self.said
        return self.said


def an_adoption(folder: str = "folder") -> Adoption:
    """Return one that logs."""
    return Adoption(folder, structlog.get_logger("pool"))


async def test_a_worker_that_loaded_meanwhile_catches_up() -> None:
    """One that has them, or a version that has none, is not asked."""
    behind, ahead = FakeWorker(AdoptReply(REPORT)), FakeWorker(AdoptReply(REPORT), "folder")
    await an_adoption().catch_up(behind, 5)
    await an_adoption().catch_up(ahead, 5)
    await an_adoption("").catch_up(behind, 5)
    assert (behind.asked, ahead.asked) == (["folder"], [])


@pytest.mark.parametrize(
    "said", [AdoptReply(None, "they can't be opened"), ChildLostError("worker-1-1 ended")]
)
async def test_once_they_fail_no_later_worker_uses_them(said: AdoptReply | Exception) -> None:
    """Neither where they can't be opened, nor where opening them ends the worker."""
    adoption = an_adoption()
    reply = await adoption.use(FakeWorker(said), 5)
    assert reply.report is None
    assert (adoption.folder, adoption.dropped) == ("", reply.reason)


@pytest.mark.parametrize(
    ("compiled", "exit_code", "kept"),
    [
        ("folder", -11, False),
        ("folder", -6, False),
        ("folder", -9, True),
        ("folder", 1, True),
        ("folder", None, True),
        ("", -11, True),
    ],
)
def test_a_crash_of_native_code_counts_against_them(
    compiled: str, exit_code: int | None, *, kept: bool
) -> None:
    """A kill does not, nor the crash of a worker that did without."""
    adoption = an_adoption()
    adoption.note_end(FakeWorker(AdoptReply(REPORT), compiled), exit_code)
    assert bool(adoption.folder) is kept
