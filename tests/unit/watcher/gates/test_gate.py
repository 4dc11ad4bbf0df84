from collections.abc import Sequence
from pathlib import Path
from typing import Any

import anyio
import anyio.lowlevel
import pytest

from service.core.errors import (
    ChildLostError,
    ChildRaisedError,
    ChildStartError,
    ChildTimeoutError,
    FetchFailedError,
    RefusedError,
    ServiceError,
    SignatureError,
)
from service.core.verdicts import Outcome, Verdict
from service.core.versions import StoredVersion
from service.serving.model import LoadedModel
from service.watcher.gates.gate import Candidate, Finding, prove
from service.watcher.gates.load import LoadGate
from service.watcher.gates.smoke import SmokeGate
from service.workers.messages import LoadReply, SmokeReply, Timing
from tests.support.fake_models import BATCHING, CONTRACT, FakePool, Fate
from tests.support.fake_source import a_version

pytestmark = pytest.mark.anyio

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


def a_model(pool: FakePool | None = None) -> LoadedModel:
    """Return a loaded version."""
    loaded = LoadReply({}, "3", "3.11", 0.25)
    return LoadedModel(STORED, CONTRACT, loaded, pool or FakePool(STORED, Fate()), BATCHING)


def a_candidate(error: Exception | None = None, pool: FakePool | None = None) -> Candidate:
    """Return a candidate whose opening works, or raises."""

    async def open_model() -> LoadedModel:
        if error is not None:
            raise error
        return a_model(pool)

    return Candidate(STORED, lambda: None, open_model)


class Told:
    """A gate that finds what it was told to."""

    def __init__(
        self, name: str, outcome: Outcome, *, compares: bool = False, **shown: Any
    ) -> None:
        self.name = name
        self.compares = compares
        self._outcome = outcome
        self._shown = shown
        self.asked = 0
        self.seen: list[LoadedModel | None] = []
        """What served, each time that it was asked."""

    async def check(self, candidate: Candidate) -> Finding:
        """Find it."""
        self.asked += 1
        self.seen.append(candidate.incumbent)
        await anyio.lowlevel.checkpoint()
        return Finding(self._outcome, f"{self.name} says token=hush", **self._shown)


async def run(gates: Sequence[Told]) -> list[Verdict]:
    """Have a candidate pass them; return the verdicts as they fell."""
    told: list[Verdict] = []
    await prove(gates, a_candidate(), told.append)
    return told


async def test_every_gate_is_asked_in_order() -> None:
    """A gate with nothing to check is as good as one that passes."""
    gates = [Told("a", Outcome.PASS), Told("b", Outcome.SKIP), Told("c", Outcome.PASS)]
    assert [(verdict.gate, verdict.outcome) for verdict in await run(gates)] == [
        ("a", Outcome.PASS),
        ("b", Outcome.SKIP),
        ("c", Outcome.PASS),
    ]


async def test_what_the_gates_found_is_the_proof() -> None:
    """Nothing of it is written into the candidate."""
    timings = (Timing(1, 2.5, 4),)
    gates = [
        Told("a", Outcome.PASS, row_wise=True),
        Told("b", Outcome.PASS, timings=timings),
        Told("c", Outcome.SKIP),
    ]
    candidate = a_candidate()
    await candidate.open()
    proof = await prove(gates, candidate, lambda _: None)
    assert (proof.row_wise, proof.timings) == (True, timings)
    assert [verdict.gate for verdict in proof.verdicts] == ["a", "b", "c"]
    assert (candidate.model.proof, candidate.model.batcher.row_wise) == (None, False)


async def test_the_first_refusal_ends_it() -> None:
    """No further gate is asked, and the error has every verdict so far."""
    gates = [Told("a", Outcome.PASS), Told("b", Outcome.REFUSE), Told("c", Outcome.PASS)]
    with pytest.raises(RefusedError, match="refused by the b gate: b says") as refused:
        await run(gates)
    assert [verdict.gate for verdict in refused.value.verdicts] == ["a", "b"]
    assert gates[2].asked == 0


async def test_what_is_compared_is_compared_with_what_serves_in_the_end() -> None:
    """Another version serves meanwhile, as after a rollback: only gates that compare go again."""
    worse, good = a_model(), a_model()
    serving = [worse]
    gates = [Told(name, Outcome.PASS, compares=name != "load") for name in ("load", "a", "b")]
    told: list[str] = []

    def tell(verdict: Verdict) -> None:
        told.append(verdict.gate)
        if told == ["load", "a"]:
            serving[:] = [good]

    async def open_model() -> LoadedModel:
        return a_model()

    await prove(gates, Candidate(STORED, lambda: serving[0], open_model), tell)
    assert told == ["load", "a", "b", "a"]
    assert [gate.seen for gate in gates] == [[worse], [worse, good], [good]]


async def test_a_verdict_shows_no_credentials() -> None:
    """A model's words may hold them."""
    (verdict,) = await run([Told("a", Outcome.PASS)])
    assert "hush" not in verdict.reason


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
    found = await LoadGate().check(a_candidate(error))
    assert found.outcome is Outcome.REFUSE
    assert reason in found.reason


@pytest.mark.parametrize(
    "error", [ChildStartError("no process"), FetchFailedError("disk"), OSError(28, "disk")]
)
async def test_what_says_nothing_of_the_model_is_raised(error: Exception) -> None:
    """The rollout tries again later."""
    with pytest.raises(type(error)):
        await LoadGate().check(a_candidate(error))


async def test_a_model_that_loads_passes_the_load_gate_opened() -> None:
    """Later gates look at it."""
    candidate = a_candidate()
    with pytest.raises(RuntimeError, match="not loaded"):
        _ = candidate.model
    found = await LoadGate().check(candidate)
    assert found == Finding(Outcome.PASS, "loaded in 0.25 s")
    assert candidate.is_open


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
    candidate = a_candidate(pool=FakePool(STORED, Fate(smoke_s=0, smoke_error=error)))
    await candidate.open()
    found = await SmokeGate(1).check(candidate)
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
    """Invariant 11 begins here."""
    candidate = a_candidate(pool=SaidPool(reply))
    await candidate.open()
    found = await SmokeGate(1).check(candidate)
    assert found.outcome is outcome
    assert bool(found.row_wise) is batched
    assert candidate.model.batcher.row_wise is False
