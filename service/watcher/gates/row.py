"""The gates in their order."""

from service.settings import Settings
from service.watcher.gates.contract import ContractGate
from service.watcher.gates.gate import Gate
from service.watcher.gates.load import LoadGate
from service.watcher.gates.smoke import SmokeGate


def row_of_gates(settings: Settings) -> tuple[Gate, ...]:
    """Return every gate, the cheapest first: what refuses early spares the rest."""
    return (LoadGate(), ContractGate(), SmokeGate(settings.load_timeout_s))
