"""A registered model with an alias, and a service that follows the alias."""

import contextlib
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

from tests.support import footprint
from tools import running_service
from tools.mlflow_server import MlflowServer, unique_name
from tools.running_service import RunningService

ALIAS = "champion"


def register_tiny(server: MlflowServer, stem: str, *factors: float) -> str:
    """Register a tiny version for each factor, and promote the first one; return the name."""
    return _registered(server, stem, server.register_tiny, factors)


def register_unruly(server: MlflowServer, stem: str, *factors: float) -> str:
    """Do so with versions that do as their rows say."""
    return _registered(server, stem, server.register_unruly, factors)


def _registered(
    server: MlflowServer, stem: str, register: Callable[[str, float], str], factors: Iterable[float]
) -> str:
    name = unique_name(stem)
    for factor in factors:
        register(name, factor)
    server.set_alias(name, ALIAS, 1)
    return name


def pointer(name: str) -> str:
    """Return the MODEL_URI of a model's alias."""
    return f"models:/{name}@{ALIAS}"


@contextlib.contextmanager
def serving(folder: Path, uri: str, name: str, **settings: Any) -> Iterator[RunningService]:
    """Run a service that follows the alias; nothing of it stays afterwards."""
    settings = {"model_uri": pointer(name), **settings}
    with footprint.ending_clean(running_service.start(folder, uri, **settings)) as service:
        yield service
