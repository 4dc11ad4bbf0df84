"""Environments that are built of a test's own wheels, without a network."""

import os
import platform
import subprocess
import sys
from collections.abc import Mapping
from datetime import datetime
from pathlib import Path

import pytest

from service.core.environments import BuildProgress, Environment, EnvironmentSettings
from service.core.versions import StoredVersion
from service.environments.environments import Environments, HeldEnvironment
from service.environments.variables import builders_variables
from service.processes.child_threads import ChildThreads
from tests.support.fake_source import a_version
from tools.made_packages import make_wheel

OWN = EnvironmentSettings(mode="own", timeout_s=120.0)


class Offered:
    """A folder of wheels, an empty CACHE_DIR, and versions that want some of the wheels."""

    def __init__(self, folder: Path, *, again: bool = False) -> None:
        """`again` is for another process, which finds the wheels there."""
        self.folder = folder
        self.wheels = folder / "wheels"
        self.cache_dir = folder / "cache"
        self.told: list[BuildProgress] = []
        self._stored = 0
        self._services: list[Environments] = []
        if not again:
            self.wheels.mkdir()
            make_wheel(self.wheels, "msgspec", "0.19.0")

    def environments(
        self, variables: Mapping[str, str] | None = None, **options: float
    ) -> Environments:
        """Return the environments of a service that has just started here."""
        temp_dir = self.folder / "temp"
        temp_dir.mkdir(exist_ok=True)
        offline = {
            "UV_FIND_LINKS": str(self.wheels),
            "UV_NO_INDEX": "1",
            "UV_OFFLINE": "1",
            "UV_PYTHON_DOWNLOADS": "never",
        }
        chosen = builders_variables(os.environ, offline, variables or {})
        chosen = {name: value for name, value in chosen.items() if value}
        service = Environments(self.cache_dir, temp_dir, ChildThreads(), chosen, **options)
        self._services.append(service)
        return service

    async def close(self) -> None:
        """End all processes of these services."""
        for service in self._services:
            await service.close()

    def stored(
        self,
        requirements: str = "",
        python: str = platform.python_version(),
        files: Mapping[str, str] | None = None,
        created: datetime | None = None,
    ) -> StoredVersion:
        """Return a version that was logged with these requirements."""
        self._stored += 1
        path = self.folder / f"model-{self._stored}"
        path.mkdir()
        (path / "MLmodel").write_text(
            "flavors:\n  python_function:\n    loader_module: mlflow.sklearn\n"
            f"    python_version: {python}\n"
        )
        if requirements:
            (path / "requirements.txt").write_text(requirements)
        for name, text in (files or {}).items():
            (path / name).parent.mkdir(parents=True, exist_ok=True)
            (path / name).write_text(text)
        created_ms = 0 if created is None else int(created.timestamp() * 1000)
        version = a_version(self._stored, created_ms=created_ms)
        return StoredVersion(version, path, f"digest-{self._stored}")

    async def built(
        self,
        stored: StoredVersion,
        wanted: EnvironmentSettings = OWN,
        environments: Environments | None = None,
    ) -> HeldEnvironment:
        """Have a version's environment built, by a new service unless one is given."""
        if environments is None:
            environments = self.environments()
            await environments.open()
        return await environments.ensure(stored, wanted, self.told.append)


def other_python() -> tuple[str, str]:
    """Return the minor version of another Python than ours, and the folder of it; else skip."""
    ours = "{}.{}".format(*sys.version_info)
    folders = [*os.get_exec_path(), *map(str, Path.home().glob(".pyenv/versions/*/bin"))]
    for minor in ("3.12", "3.13", "3.10", "3.11"):
        for folder in folders:
            command = [f"{folder}/python{minor}", "-c", "import venv"]
            if minor != ours and Path(command[0]).is_file():
                found = subprocess.run(command, capture_output=True, check=False)
                if not found.returncode:
                    return minor, folder
    pytest.skip("there is no other Python on PATH, nor of pyenv")


def says(environment: Environment, expression: str, module: str) -> str:
    """Return what an environment's Python answers to an expression."""
    code = f"import {module}; print({expression})"
    command = [environment.interpreter, "-B", "-c", code]
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()
