from pathlib import Path

import pytest

from service.core.errors import (
    ChildLostError,
    ChildRaisedError,
    ChildStartError,
    ChildTimeoutError,
    FetchFailedError,
    RefusedError,
    SignatureError,
)
from service.core.verdicts import Outcome, Verdict
from service.core.versions import StoredVersion
from service.serving.model import LoadedModel
from service.watcher.loading import load
from service.watcher.verdict_log import VerdictLog
from service.workers.messages import LoadReply
from tests.support.fake_models import BATCHING, INTERFACE, FakePool, Fate
from tests.support.fake_source import a_version

VERSION = a_version(1)
STORED = StoredVersion(VERSION, Path("nowhere"), "digest")


class Opening:
    """Opens a model, or raises."""

    def __init__(self, error: Exception | None = None) -> None:
        self._error = error
        loaded = LoadReply({}, "3", "3.11", 0.25)
        self.model = LoadedModel(STORED, INTERFACE, loaded, FakePool(STORED, Fate()), BATCHING)

    async def __call__(self) -> LoadedModel:
        """Do it."""
        if self._error is not None:
            raise self._error
        return self.model


@pytest.mark.parametrize(
    ("error", "reason"),
    [
        (SignatureError("log it with a signature"), "log it with a signature"),
        (ChildRaisedError("ValueError: no"), "loading raised ValueError: no"),
        (ChildLostError("lost"), "its process ended without a word"),
        (ChildLostError("lost", list("abcdefg")), "it printed last: c | d | e | f | g"),
        (ChildTimeoutError("no answer within 300 s"), "LOAD_TIMEOUT_S"),
    ],
)
async def test_a_model_that_does_not_load_is_refused(error: Exception, reason: str) -> None:
    """It raises, dies, hangs, or does not say what it takes."""
    told: list[Verdict] = []
    with pytest.raises(RefusedError, match="refused by the load gate") as refused:
        await load(VERSION, Opening(error), VerdictLog(told.append))
    assert [(verdict.gate, verdict.outcome) for verdict in told] == [("load", Outcome.REFUSE)]
    assert reason in told[0].reason
    assert refused.value.verdicts == tuple(told)


def _killed() -> ChildLostError:
    error = ChildLostError("lost")
    error.killed_from_outside = True
    return error


@pytest.mark.parametrize(
    "error",
    [ChildStartError("no process"), FetchFailedError("disk"), OSError(28, "disk"), _killed()],
)
async def test_what_says_nothing_of_the_model_is_raised(error: Exception) -> None:
    """There is no verdict on it: the rollout tries again later."""
    told: list[Verdict] = []
    with pytest.raises(type(error)):
        await load(VERSION, Opening(error), VerdictLog(told.append))
    assert told == []


async def test_a_model_that_loads_is_returned() -> None:
    """The verdict says how long that took."""
    told: list[Verdict] = []
    opening = Opening()
    assert await load(VERSION, opening, VerdictLog(told.append)) is opening.model
    (verdict,) = told
    assert (verdict.outcome, verdict.reason) == (Outcome.PASS, "loaded in 0.25 s")


async def test_a_model_whose_verdict_can_not_be_told_is_closed() -> None:
    """Nobody else knows of it yet."""

    def tell(_: Verdict) -> None:
        raise ZeroDivisionError

    opening = Opening()
    with pytest.raises(ZeroDivisionError):
        await load(VERSION, opening, VerdictLog(tell))
    await opening.model.wait_closing()
