"""Where a registry is, and how long it may take: deployments with the same address share it."""

import msgspec

from service.core.redaction import redact
from service.settings.deployment import DeploymentSettings


class RegistryAddress(msgspec.Struct, frozen=True):
    """One registry as one or several deployments ask it."""

    tracking_uri: str
    registry_uri: str
    """'' where the tracking server is the registry."""
    workspace: str
    """'' for none."""
    timeout_s: float
    """Seconds that one look may take."""

    @classmethod
    def of(cls, settings: DeploymentSettings) -> "RegistryAddress":
        """Return the address that a deployment's settings mean."""
        return cls(
            settings.mlflow_tracking_uri,
            settings.mlflow_registry_uri,
            settings.mlflow_workspace,
            settings.registry_timeout_s,
        )

    @property
    def place(self) -> str:
        """Where it is, as versions and people say it: without credentials."""
        return redact(self.registry_uri or self.tracking_uri)


class Pointer(msgspec.Struct, frozen=True):
    """The pointer that a deployment follows, by a name that none behind this CACHE_DIR shares."""

    name: str
    """By what its state is kept on the disk."""
    model: tuple[str, str, str]
    """The registered model as `ModelVersion.model` names it: registry, workspace, name."""


def pointer_of(settings: DeploymentSettings, deployment: str) -> Pointer:
    """Name what a deployment follows, with its registry, and its workspace where one is set.

    Another registry may have the same pointer, and the workspaces of one registry share an
    address. Two deployments may follow one pointer: to one that isn't named as its registered
    model is, its name is added, so that each has a pin of its own.
    """
    address, ref = RegistryAddress.of(settings), settings.ref
    name = f"{ref.uri} at {address.place}"
    if address.workspace:
        name += f" in workspace {address.workspace}"
    if ref.name and deployment != ref.name:
        name += f" as {deployment}"
    return Pointer(name, (address.place, address.workspace, ref.name))
