from pathlib import Path

import pytest

from service.core.errors import (
    ChildLostError,
    ChildRaisedError,
    ChildTimeoutError,
    ServiceError,
)
from service.core.verdicts import Outcome
from service.core.versions import StoredVersion
from service.serving.model import LoadedModel
from service.watcher.gates.smoke import SmokeGate
from service.workers.messages import LoadReply, SmokeReply
from tests.support.fake_models import BATCHING, INTERFACE, FakePool, Fate
from tests.support.fake_source import a_version

STORED = StoredVersion(a_version(1), Path("nowhere"), "digest")


class SaidPool(FakePool):
    """A pool whose smoke reply is given."""

    def __init__(self, reply: SmokeReply) -> None:
        super().__init__(STORED, Fate())
        self._reply = reply

    async def smoke(self, timeout_s: float, incumbent_path: Path | None = None) -> SmokeReply:
        """Return it."""
        del timeout_s, incumbent_path
        return self._reply


def a_model(pool: FakePool) -> LoadedModel:
    """Return a loaded version."""
    return LoadedModel(STORED, INTERFACE, LoadReply({}, "3", "3.11", 0.25), pool, BATCHING)


@pytest.mark.parametrize(
    ("error", "reason"),
    [
        (ChildLostError("lost", ["bang"]), "bang"),
        (ChildTimeoutError("no answer"), "no answer"),
        (ChildRaisedError("ValueError: no"), "raised ValueError: no"),
    ],
)
async def test_a_model_that_fails_on_its_example_is_refused(
    error: ServiceError, reason: str
) -> None:
    """It raises, dies, or hangs there."""
    model = a_model(FakePool(STORED, Fate(smoke_s=0, smoke_error=error)))
    found = await SmokeGate(1).check(model, None)
    assert found.outcome is Outcome.REFUSE
    assert reason in found.reason


@pytest.mark.parametrize(
    ("reply", "outcome", "batched"),
    [
        (SmokeReply("its input example", 2, "", True, "equal"), Outcome.PASS, True),  # noqa: FBT003
        (SmokeReply("its input example", 2, "", False, "unequal"), Outcome.PASS, False),  # noqa: FBT003
        (SmokeReply("", 0, "", False, "no example"), Outcome.SKIP, False),  # noqa: FBT003
        (SmokeReply("its input example", 2, "NaN", True, "equal"), Outcome.REFUSE, False),  # noqa: FBT003
    ],
)
async def test_requests_are_merged_only_for_a_model_that_was_shown_to_be_row_wise(
    reply: SmokeReply, outcome: Outcome, *, batched: bool
) -> None:
    """Invariant 11 begins here: the gate says so, and does not merge them itself."""
    model = a_model(SaidPool(reply))
    found = await SmokeGate(1).check(model, None)
    assert found.outcome is outcome
    assert bool(found.row_wise) is batched
    assert model.batcher.row_wise is False
