"""Calls about one version by its number: the one that serves answers them, and no other one."""

from service.core.errors import UnknownVersionError
from service.core.text import NAME_CHARACTERS, presentable
from service.core.versions import ModelVersion
from service.serving.routes import Routes


def is_served(routes: Routes, wanted: str) -> bool:
    """Tell whether the version that is wanted serves now."""
    current = routes.current
    return current is not None and current.version.version == wanted


def check_version(model: str, wanted: str | None, version: ModelVersion) -> None:
    """Raise UnknownVersionError where another version of a model is wanted; '' is any."""
    if wanted and wanted != version.version:
        raise UnknownVersionError(
            f"version {presentable(wanted, NAME_CHARACTERS)!r} of {model} is not loaded: "
            f"{version.version} serves"
        )
