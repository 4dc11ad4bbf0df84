"""What is taken out of the server process's environment, by the processes that get it instead."""

import os
from collections.abc import Mapping, MutableMapping
from types import MappingProxyType

import msgspec

from service.environments.variables import withhold_for_builder
from service.workers.variables import WorkerVariables

_NONE: Mapping[str, str] = MappingProxyType({})


class Credentials(msgspec.Struct, frozen=True):
    """Environment variables that no model's code gets.

    `registry` are those of the processes that ask the registry and fetch from the artifact store,
    `builder` those that uv gets, and `exporters` those of what sends traces and metrics.
    """

    registry: Mapping[str, str] = _NONE
    builder: Mapping[str, str] = _NONE
    exporters: Mapping[str, str] = _NONE

    @property
    def names(self) -> list[str]:
        """The names of those that model code might have expected."""
        return sorted({*self.registry, *(name for name in self.builder if name.startswith("UV_"))})


NO_CREDENTIALS = Credentials()


def withhold(worker_env: str, environ: MutableMapping[str, str] = os.environ) -> Credentials:
    """Take out of the environment what model code must not see, as WORKER_ENV says.

    To be called before a process is started, and once: what was taken is nowhere else.
    """
    variables = WorkerVariables(worker_env)
    # First: a proxy's password, which `withhold` takes, is uv's as well.
    builder = withhold_for_builder(environ)
    exporters = variables.withhold_for_exporters(environ)
    return Credentials(variables.withhold(environ), builder, exporters)
