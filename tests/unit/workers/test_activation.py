"""Compiled predictors are used by every worker, until they fail in one."""

import pytest
import structlog

from service.core.errors import ChildLostError
from service.predictors.report import Report
from service.workers.activation import Activation
from service.workers.messages import ActivateReply

REPORT = Report((), {1: "trees"}, "direct", (), 2048, 1e-12, 1, 0.5)


class FakeWorker:
    """A worker that answers as it is told."""

    def __init__(self, said: ActivateReply | Exception, compiled: str = "") -> None:
        self.said = said
        self.compiled = compiled
        self.asked: list[str] = []

    async def activate(self, compiled: str, timeout_s: float) -> ActivateReply:
        """Answer immediately."""
        assert timeout_s == 5
        self.asked.append(compiled)
        if isinstance(self.said, Exception):
            raise self.said
        return self.said


def an_activation(folder: str = "folder") -> Activation:
    """Return one that logs."""
    return Activation(folder, structlog.get_logger("pool"))


async def test_a_worker_that_loaded_meanwhile_catches_up() -> None:
    """One that has them, or a version that has none, is not asked."""
    behind, ahead = FakeWorker(ActivateReply(REPORT)), FakeWorker(ActivateReply(REPORT), "folder")
    await an_activation().catch_up(behind, 5)
    await an_activation().catch_up(ahead, 5)
    await an_activation("").catch_up(behind, 5)
    assert (behind.asked, ahead.asked) == (["folder"], [])


@pytest.mark.parametrize(
    "said", [ActivateReply(None, "they can't be opened"), ChildLostError("worker-1-1 ended")]
)
async def test_once_they_fail_no_later_worker_uses_them(said: ActivateReply | Exception) -> None:
    """Neither where they can't be opened, nor where opening them ends the worker."""
    activation = an_activation()
    reply = await activation.use(FakeWorker(said), 5)
    assert reply.report is None
    assert (activation.folder, activation.dropped) == ("", reply.reason)


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
    activation = an_activation()
    activation.note_end(FakeWorker(ActivateReply(REPORT), compiled), exit_code)
    assert bool(activation.folder) is kept
