from pathlib import Path
from typing import Any, Literal

from service.contracts.choose import contract_for
from service.core.verdicts import Outcome
from service.core.versions import StoredVersion
from service.serving.interface import Interface
from service.serving.model import LoadedModel
from service.watcher.gates.contract import ContractGate
from service.watcher.gates.gate import Finding
from service.workers.messages import LoadReply
from tests.support.fake_models import BATCHING, FakePool, Fate
from tests.support.fake_source import a_version


def a_model(number: int, *outputs: str, inputs: tuple[str, ...] = ("a",)) -> LoadedModel:
    """Return a version that takes and gives doubles of these names."""
    signature: dict[str, Any] = {
        part: [{"type": "double", "name": name, "required": True} for name in names]
        for part, names in (("inputs", inputs), ("outputs", outputs))
    }
    stored = StoredVersion(a_version(number), Path("nowhere"), "digest")
    contract = contract_for("m", signature, refuse_unknown=False)
    loaded = LoadReply(signature, "3", "3.11", 0.25)
    return LoadedModel(
        stored, Interface.of(contract, stored.version), loaded, FakePool(stored, Fate()), BATCHING
    )


async def check(
    incumbent: LoadedModel | None,
    model: LoadedModel,
    on_change: Literal["refuse", "allow"] = "refuse",
    *,
    refuse_unknown: bool = False,
) -> Finding:
    """Have a loaded version pass the gate."""
    return await ContractGate(on_change, refuse_unknown=refuse_unknown).check(model, incumbent)


async def test_the_first_version_is_told_and_passes() -> None:
    """There is nothing to compare it with."""
    assert await check(None, a_model(1, "y", "z", inputs=("a", "b"))) == Finding(
        Outcome.PASS,
        "takes 2 inputs (columns), gives y, z; no version serves yet that it could differ from",
    )


async def test_a_version_that_callers_can_use_as_before_passes() -> None:
    """It may give more."""
    assert await check(a_model(1, "y"), a_model(2, "y", "z")) == Finding(
        Outcome.PASS, "takes 1 input (columns), gives y, z; callers of version 1 miss nothing"
    )


async def test_every_difference_is_named_and_refused() -> None:
    """With what to set where it is meant."""
    assert await check(a_model(1, "y"), a_model(2, "w", inputs=("a", "b"))) == Finding(
        Outcome.REFUSE,
        "callers of version 1 would miss something: input b (double) is new and required; "
        "output y is gone (there are w). If that is meant, set ON_CONTRACT_CHANGE=allow for it",
    )


async def test_an_allowed_change_passes_and_is_named_all_the_same() -> None:
    """The operator has said that it is meant."""
    assert await check(a_model(1, "y"), a_model(2, "w"), "allow") == Finding(
        Outcome.PASS,
        "warning: callers of version 1 would miss something: output y is gone (there are w) "
        "(ON_CONTRACT_CHANGE=allow)",
    )


async def test_a_dropped_input_counts_where_unknown_fields_are_refused() -> None:
    """Callers that still send it would be refused."""
    before, after = a_model(1, "y", inputs=("a", "b")), a_model(2, "y")
    assert (await check(before, after)).outcome is Outcome.PASS
    found = await check(before, after, refuse_unknown=True)
    assert found.outcome is Outcome.REFUSE
    assert "input b is gone" in found.reason
