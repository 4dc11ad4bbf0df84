"""What a service follows, named so that no other one behind the same CACHE_DIR has that name."""

from service.core.redaction import redact
from service.settings.settings import Settings


def registry_of(settings: Settings) -> str:
    """Return where the registry is, as versions say it."""
    return redact(settings.mlflow_registry_uri or settings.mlflow_tracking_uri)


def model_of(settings: Settings) -> tuple[str, str, str]:
    """Name the registered model as its versions do."""
    return registry_of(settings), settings.mlflow_workspace, settings.ref.name


def pointer_of(settings: Settings) -> str:
    """Name the pointer with its registry, and with its workspace where one is set.

    Another registry may have the same pointer, and the workspaces of one registry share an address.
    """
    pointer = f"{settings.ref.uri} at {registry_of(settings)}"
    workspace = settings.mlflow_workspace
    return f"{pointer} in workspace {workspace}" if workspace else pointer
