"""The gate that asks whether callers can go on as they do."""

from typing import Literal

from service.contracts.compatibility import differences
from service.contracts.contract import Contract
from service.core.verdicts import Outcome
from service.serving.model import LoadedModel
from service.watcher.gates.gate import Finding


class ContractGate:
    """What callers send to the incumbent it takes, and what they read is there.

    Differences are all named, whether they refuse it or ON_CONTRACT_CHANGE=allow lets it pass.
    """

    name = "contract"
    compares = True

    def __init__(self, on_change: Literal["refuse", "allow"], *, refuse_unknown: bool) -> None:
        self._on_change = on_change
        self._refuse_unknown = refuse_unknown

    async def check(self, candidate: LoadedModel, incumbent: LoadedModel | None) -> Finding:
        """Compare with the incumbent; tell what callers must send, and what they get."""
        contract = candidate.contract
        told = _told(contract)
        if incumbent is None:
            return Finding(Outcome.PASS, f"{told}; no version serves yet that it could differ from")
        found = differences(incumbent.contract, contract, refuse_unknown=self._refuse_unknown)
        number = incumbent.version.version
        if not found:
            return Finding(Outcome.PASS, f"{told}; callers of version {number} miss nothing")
        reason = f"callers of version {number} would miss something: {'; '.join(found)}"
        if self._on_change == "allow":
            return Finding(Outcome.PASS, f"warning: {reason} (ON_CONTRACT_CHANGE=allow)")
        return Finding(
            Outcome.REFUSE, f"{reason}. If that is meant, set ON_CONTRACT_CHANGE=allow for it"
        )


def _told(contract: Contract) -> str:
    given = ", ".join(output.name for output in contract.outputs) or "whatever the model names"
    taken = f"{len(contract.inputs)} input" + ("s" if len(contract.inputs) != 1 else "")
    return f"takes {taken} ({contract.layout}), gives {given}"
