"""The gates in their order."""

from collections.abc import Awaitable, Callable

from service.core.described import Described
from service.core.versions import StoredVersion
from service.settings.deployment import DeploymentSettings
from service.watcher.gates.artifacts import ArtifactsGate
from service.watcher.gates.contract import ContractGate
from service.watcher.gates.environment import EnvironmentGate
from service.watcher.gates.gate import Gate
from service.watcher.gates.load import LoadGate
from service.watcher.gates.predictors import PredictorsGate
from service.watcher.gates.smoke import SmokeGate
from service.watcher.gates.speed import SpeedGate


def gate_chain(
    settings: DeploymentSettings, describe: Callable[[StoredVersion], Awaitable[Described]]
) -> tuple[Gate, ...]:
    """Return every gate, the cheapest first: what refuses early spares the rest.

    `describe` has a version's files read.
    """
    waits = settings.compiled != "off" and settings.compiled_wait_s > 0
    return (
        ArtifactsGate(),
        EnvironmentGate(settings.on_mismatch, describe),
        LoadGate(),
        ContractGate(
            settings.on_contract_change, refuse_unknown=settings.unknown_fields == "refuse"
        ),
        SmokeGate(settings.load_timeout_s),
        SpeedGate(settings.load_timeout_s),
        *([PredictorsGate(settings.compiled_wait_s)] if waits else []),
    )
