"""A service of several models that a benchmark writes the file of."""

import contextlib
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil

from tools import running_service
from tools.mlflow_server import MlflowServer
from tools.processes import ProcessTree
from tools.running_service import RunningService

ALIAS = "champion"


@dataclass
class Models:
    """A service, its processes, and the file that says what it serves."""

    service: RunningService
    tree: ProcessTree
    file: Path

    def health(self) -> dict[str, Any]:
        """Return the state of each model by name."""
        told: dict[str, Any] = self.service.get("/health").json()["models"]
        return told

    def wait_serving(self, versions: Mapping[str, str]) -> None:
        """Wait until these versions serve under these names."""

        def all_serve() -> bool:
            told = self.health()
            return all(
                told.get(name, {}).get("status") == "healthy"
                and told[name]["model_version"] == version
                for name, version in versions.items()
            )

        self.service.wait_until(all_serve, f"{len(versions)} models serve", 300)

    def workers(self, name: str) -> list[psutil.Process]:
        """Return the workers of a model."""
        info = self.service.get(f"/models/{name}/info").json()
        return [psutil.Process(pid) for pid in info["serving"]["pool"]["pids"]]


def write(file: Path, names: Mapping[str, str]) -> None:
    """Write the file of models: registered names by the names that they are served under."""
    tables = (
        f"[models.{json.dumps(name)}]\nuri = {json.dumps(f'models:/{registered}@{ALIAS}')}\n"
        for name, registered in names.items()
    )
    aside = file.with_suffix(".new")
    aside.write_text("\n".join(tables), encoding="utf-8")
    aside.replace(file)


@contextlib.contextmanager
def served(
    server: MlflowServer, folder: Path, names: Mapping[str, str], **settings: Any
) -> Iterator[Models]:
    """Serve these models until the block ends; the first one answers `/predict`."""
    folder.mkdir(parents=True, exist_ok=True)
    file = folder / "models.toml"
    write(file, names)
    service = running_service.start(
        folder,
        server.uri,
        wait=False,
        models_file=file,
        default_model=next(iter(names)),
        poll_interval_s=0.2,
        **settings,
    )
    with service:
        yield Models(service, ProcessTree(service.process.pid), file)
