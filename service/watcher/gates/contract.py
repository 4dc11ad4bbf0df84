"""The gate that asks whether callers can go on as they do."""

from service.core.verdicts import Outcome
from service.watcher.gates.gate import Candidate, Finding


class ContractGate:
    """What it takes and gives can be told from its signature."""

    name = "contract"

    async def check(self, candidate: Candidate) -> Finding:
        """Tell what callers must send and what they get."""
        contract = candidate.model.contract
        given = ", ".join(output.name for output in contract.outputs) or "whatever the model names"
        taken = f"{len(contract.inputs)} input" + ("s" if len(contract.inputs) != 1 else "")
        return Finding(Outcome.PASS, f"takes {taken} ({contract.layout}), gives {given}")
