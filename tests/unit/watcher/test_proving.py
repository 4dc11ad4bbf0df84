from collections.abc import Sequence
from pathlib import Path
from typing import Any

import anyio.lowlevel
import msgspec
import pytest

from service.core.errors import RefusedError
from service.core.verdicts import Outcome, Verdict
from service.core.versions import StoredVersion
from service.predictors.report import Report
from service.serving.model import LoadedModel
from service.watcher.gates.chain import GateChain
from service.watcher.gates.gate import Finding
from service.watcher.proving import check_files, prove
from service.watcher.verdict_log import VerdictLog
from service.workers.messages import ActivateReply, LoadReply, Timing
from tests.support.fake_models import BATCHING, INTERFACE, FakePool, Fate
from tests.support.fake_source import a_version

STORED = StoredVersion(a_version(1), Path("nowhere"), "digest")
REPORT = Report((), {1: "llvm forest"}, "direct", (), 2048, 1e-12, 1, 0.5)


def a_model(report: Report | None = None) -> LoadedModel:
    """Return a loaded version, which answers by compiled predictors if there is a report."""
    loaded = LoadReply({}, "3", "3.11", 0.25, ActivateReply(report))
    return LoadedModel(STORED, INTERFACE, loaded, FakePool(STORED, Fate()), BATCHING)


class Told:
    """A gate that finds what it was told to."""

    def __init__(
        self, name: str, outcome: Outcome = Outcome.PASS, *, compares: bool = False, **shown: Any
    ) -> None:
        self.name = name
        self.compares = compares
        self.finding = Finding(outcome, f"{name} says token=hush", **shown)
        self.seen: list[LoadedModel | None] = []
        """What served, each time that it was asked."""

    async def check(self, candidate: LoadedModel, incumbent: LoadedModel | None) -> Finding:
        """Find it."""
        del candidate
        self.seen.append(incumbent)
        await anyio.lowlevel.checkpoint()
        return self.finding


class ToldOfFiles(Told):
    """The same for a version's files."""

    async def check(self, stored: StoredVersion) -> Finding:  # type: ignore[override]
        """Find it."""
        assert stored == STORED
        self.seen.append(None)
        return self.finding


async def run(*gates: Told) -> list[Verdict]:
    """Have a candidate pass them; return the verdicts as they fell."""
    told: list[Verdict] = []
    await prove(GateChain((), gates), a_model(), lambda: None, VerdictLog(told.append))
    return told


async def test_every_gate_is_asked_in_order() -> None:
    """A gate with nothing to check is as good as one that passes."""
    verdicts = await run(Told("a"), Told("b", Outcome.SKIP), Told("c"))
    assert [(verdict.gate, verdict.outcome) for verdict in verdicts] == [
        ("a", Outcome.PASS),
        ("b", Outcome.SKIP),
        ("c", Outcome.PASS),
    ]


async def _prove_model(gates: Sequence[Told], verdicts: VerdictLog) -> None:
    await prove(GateChain((), tuple(gates)), a_model(), lambda: None, verdicts)


async def _check_files(gates: Sequence[Told], verdicts: VerdictLog) -> None:
    of_files = [ToldOfFiles(gate.name, gate.finding.outcome) for gate in gates]
    try:
        await check_files(of_files, STORED, verdicts)
    finally:
        for gate, asked in zip(gates, of_files, strict=True):
            gate.seen = asked.seen


@pytest.mark.parametrize("check", [_prove_model, _check_files])
async def test_the_first_refusal_ends_it(check: Any) -> None:
    """No further gate is asked, and the error has every verdict so far."""
    gates = [Told("a"), Told("b", Outcome.REFUSE), Told("c")]
    with pytest.raises(RefusedError, match="refused by the b gate: b says") as refused:
        await check(gates, VerdictLog(lambda _: None))
    assert [verdict.gate for verdict in refused.value.verdicts] == ["a", "b"]
    assert gates[2].seen == []


async def test_what_the_gates_found_is_the_proof() -> None:
    """With the verdicts from before it was loaded; nothing of it is written into the candidate."""
    timings = (Timing(1, 2.5, 4),)
    gates = (Told("a", row_wise=True), Told("b", timings=timings), Told("c", Outcome.SKIP))
    candidate, verdicts = a_model(), VerdictLog(lambda _: None)
    await check_files([ToldOfFiles("files")], STORED, verdicts)
    proof = await prove(GateChain((), gates), candidate, lambda: None, verdicts)
    assert (proof.row_wise, proof.timings) == (True, timings)
    assert [verdict.gate for verdict in proof.verdicts] == ["files", "a", "b", "c"]
    assert (candidate.proof, candidate.batcher.row_wise) == (None, False)


async def test_what_is_compared_is_compared_with_what_serves_in_the_end() -> None:
    """Another version serves meanwhile, as after a rollback: only gates that compare go again."""
    worse, good = a_model(), a_model()
    serving = [worse]
    gates = (Told("alone"), Told("a", compares=True), Told("b", compares=True))
    told: list[str] = []

    def tell(verdict: Verdict) -> None:
        told.append(verdict.gate)
        if told == ["alone", "a"]:
            serving[:] = [good]

    await prove(GateChain((), gates), a_model(), lambda: serving[0], VerdictLog(tell))
    assert told == ["alone", "a", "b", "a"]
    assert [gate.seen for gate in gates] == [[worse], [worse, good], [good]]


async def test_what_serves_may_change_while_compiled_predictors_are_waited_for() -> None:
    """Then the candidate is compared with what serves after the wait; else nothing goes again."""
    before, after = a_model(REPORT), a_model(REPORT)
    serving = [before]
    chain = GateChain((), (Told("alone"), Told("a", compares=True)), compiled_wait_s=60)
    told: list[str] = []
    candidate = a_model(REPORT)

    def tell(verdict: Verdict) -> None:
        told.append(verdict.gate)
        if verdict.gate == "predictors":
            assert candidate.compiling.may_activate.is_set()
            serving[:] = [after]
        else:
            assert candidate.compiling.may_activate.is_set() is ("predictors" in told)

    await prove(chain, candidate, lambda: serving[0], VerdictLog(tell))
    assert told == ["alone", "a", "predictors", "a"]
    told.clear()
    settled = msgspec.structs.replace(chain)
    candidate = a_model(REPORT)
    await prove(settled, candidate, lambda: after, VerdictLog(lambda v: told.append(v.gate)))
    assert told == ["alone", "a", "predictors"]


async def test_a_verdict_shows_no_credentials() -> None:
    """A model's words may hold them."""
    (verdict,) = await run(Told("a"))
    assert "hush" not in verdict.reason
