"""The gates that a candidate passes, in their order."""

from collections.abc import Awaitable, Callable

import msgspec

from service.core.described import Described
from service.core.versions import StoredVersion
from service.settings.deployment import DeploymentSettings
from service.watcher.gates.artifacts import ArtifactsGate
from service.watcher.gates.contract import ContractGate
from service.watcher.gates.environment import EnvironmentGate
from service.watcher.gates.gate import FilesGate, ModelGate
from service.watcher.gates.smoke import SmokeGate
from service.watcher.gates.speed import SpeedGate


class GateChain(msgspec.Struct, frozen=True):
    """The gates that a candidate passes before it sees traffic.

    `of_files` before it is loaded, `of_model` afterwards. Compiled predictors are then waited for
    up to `compiled_wait_s`; with 0 they are not.
    """

    of_files: tuple[FilesGate, ...]
    of_model: tuple[ModelGate, ...]
    compiled_wait_s: float = 0.0


def gate_chain(
    settings: DeploymentSettings,
    describe: Callable[[StoredVersion], Awaitable[Described]],
    signature: FilesGate | None = None,
) -> GateChain:
    """Return every gate, the cheapest first: what refuses early spares the rest.

    `describe` has a version's files read; `signature` is the gate that wants them signed, which
    comes before. What is installed for the service is compared only where every version shares it.
    """
    signed = () if signature is None else (signature,)
    shared = (EnvironmentGate(settings.on_mismatch, describe),)
    return GateChain(
        of_files=(
            ArtifactsGate(),
            *signed,
            *(shared if settings.environment == "shared" else ()),
        ),
        of_model=(
            ContractGate(
                settings.on_contract_change, refuse_unknown=settings.unknown_fields == "refuse"
            ),
            SmokeGate(settings.load_timeout_s),
            SpeedGate(settings.load_timeout_s),
        ),
        compiled_wait_s=settings.compiled_wait_s if settings.compiled != "off" else 0.0,
    )
