"""What the service has that a manifest may name: settings, paths, commands, ports."""

from functools import cache
from tempfile import TemporaryDirectory

from litestar.routes import HTTPRoute
from rich_click import Group

from service.app import create_app
from service.cli import cli
from service.deployments import Deployments
from service.settings.environment import load_settings
from service.settings.settings import FIELDS

SETTINGS = {field.name.upper(): field for field in FIELDS}
OF_OTHERS = frozenset(
    {
        # MLflow's client, Azure's SDK, OpenTelemetry's: read by these libraries.
        *("MLFLOW_TRACKING_TOKEN", "AZURE_CLIENT_ID", "OTEL_EXPORTER_OTLP_ENDPOINT"),
        # The system's and Python's.
        *("PATH", "HOME", "TMPDIR", "PYTHONDONTWRITEBYTECODE", "PYTHONUNBUFFERED"),
    }
)
"""Variables that manifests set for what the service brings."""


def commands() -> set[str]:
    """Return the names of the service's commands."""
    assert isinstance(cli, Group)
    return set(cli.commands)


def unknown(names: set[str]) -> set[str]:
    """Return those of some variables that nothing reads."""
    return names - SETTINGS.keys() - OF_OTHERS


@cache
def routes() -> set[tuple[str, str]]:
    """Return each method and path that the service answers."""
    with TemporaryDirectory() as folder:
        settings = load_settings({"CACHE_DIR": folder, "WEBHOOK_SECRET": "s" * 32})
        return {
            (method, route.path)
            for route in create_app(Deployments(settings)).routes
            if isinstance(route, HTTPRoute)
            for method in route.methods
        }
