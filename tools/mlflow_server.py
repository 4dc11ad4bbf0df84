"""A real MLflow server for tests and benchmarks, and quick ways to put models into it.

`start(folder)` gives a `MlflowServer`; the fixture `mlflow_server` (tests/conftest.py)
holds one for the whole session, so tests should name their models with `unique_name()`.
"""

import contextlib
import os
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
import uuid
import warnings
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import psutil

START_TIMEOUT_S = 90.0
STOP_TIMEOUT_S = 10.0
_TINY_MODEL = Path(__file__).with_name("tiny_model.py")
_UNRULY_MODEL = Path(__file__).with_name("unruly_model.py")
_URIS = ("MLFLOW_TRACKING_URI", "MLFLOW_REGISTRY_URI")
_QUIET = {
    "MLFLOW_DISABLE_TELEMETRY": "true",
    "DO_NOT_TRACK": "true",
    "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false",
    "MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR": "false",
    "GIT_PYTHON_REFRESH": "quiet",
    "PYTHONWARNINGS": "ignore",
}


def free_port() -> int:
    """Return a loopback port that nobody listened on a moment ago."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def unique_name(stem: str = "model") -> str:
    """Return a name for a registered model that no other test has."""
    return f"{stem}-{uuid.uuid4().hex[:8]}"


@dataclass
class MlflowServer:
    """One running server; `folder` holds its database, artifacts and log."""

    uri: str
    folder: Path
    process: subprocess.Popen[bytes]
    _tiny_sources: dict[float, str] = field(default_factory=dict)
    _unruly_sources: dict[tuple[tuple[str, float | str], ...], tuple[str, str]] = field(
        default_factory=dict
    )

    # -- models ----------------------------------------------------------------------------------

    @property
    def client(self) -> Any:
        """An MlflowClient of this server."""
        with self.active() as mlflow:
            return mlflow.MlflowClient(self.uri, registry_uri=self.uri)

    @contextlib.contextmanager
    def active(self) -> Iterator[Any]:
        """Point the mlflow module of this process at the server, and give it, warnings off."""
        os.environ.update({key: os.environ.get(key, value) for key, value in _QUIET.items()})
        # Recorded: some of MLflow's warnings pass a filter.
        with warnings.catch_warnings(record=True):
            warnings.simplefilter("ignore")
            import mlflow  # noqa: PLC0415 - slow, and only wanted where a server runs

            before = {key: os.environ.get(key) for key in _URIS}
            mlflow.set_tracking_uri(self.uri)
            mlflow.set_registry_uri(self.uri)
            try:
                yield mlflow
            finally:
                # None is 'not set', so that the environment counts again.
                mlflow.set_tracking_uri(None)
                mlflow.set_registry_uri(None)
                for key in _URIS:
                    os.environ.pop(key, None)
                os.environ.update({key: value for key, value in before.items() if value})

    def register(self, name: str, log_model: Callable[..., Any], /, **arguments: Any) -> str:
        """Log a model with one of MLflow's `log_model` functions and register it.

        `server.register("wine", mlflow.sklearn.log_model, sk_model=..., signature=...,
        input_example=..., pip_requirements=[...])`; returns the version number as text. Giving
        `pip_requirements` spares MLflow the seconds it takes to guess them.
        """
        with self.active() as mlflow, mlflow.start_run():
            arguments.setdefault("pip_requirements", ["mlflow"])
            info = log_model(name="model", **arguments)
            return self.register_source(name, info.model_uri, info.run_id)

    def register_tiny(self, name: str, factor: float = 1.0) -> str:
        """Register a model with one double column `a` that answers `y = a * factor`.

        Artifacts are logged once for each factor and shared by versions; this takes milliseconds
        from the second time on.
        """
        return self.register_source(name, self.tiny_source(factor))

    def tiny_source(self, factor: float = 1.0) -> str:
        """Return the `models:/m-...` URI of a logged tiny model, that is not registered."""
        if factor not in self._tiny_sources:
            with self.active() as mlflow, mlflow.start_run():
                import pandas as pd  # noqa: PLC0415 - slow, as mlflow is

                example = pd.DataFrame({"a": [1.0, 2.0]})
                info = mlflow.pyfunc.log_model(
                    name="model",
                    python_model=str(_TINY_MODEL),
                    model_config={"factor": factor},
                    input_example=example,
                    signature=mlflow.models.infer_signature(
                        example, pd.DataFrame({"y": [1.0, 2.0]})
                    ),
                    pip_requirements=["mlflow"],
                )
            self._tiny_sources[factor] = info.model_uri
        return self._tiny_sources[factor]

    def register_unruly(
        self,
        name: str,
        factor: float = 1.0,
        on_load: str = "",
        on_predict: str = "",
        **config: float | str,
    ) -> str:
        """Register a model that misbehaves as its rows say; see tools/unruly_model.py.

        One that misbehaves whatever they say has no example: MLflow would try it on that.
        Artifacts are logged once for each config, as with tiny ones.
        """
        config = {"factor": factor, "on_load": on_load, "on_predict": on_predict, **config}
        key = tuple(sorted(config.items()))
        if key not in self._unruly_sources:
            with self.active() as mlflow, mlflow.start_run():
                import pandas as pd  # noqa: PLC0415 - slow, as mlflow is

                example = pd.DataFrame({"a": [1.0, 2.0], "do": ["", ""]})
                info = mlflow.pyfunc.log_model(
                    name="model",
                    python_model=str(_UNRULY_MODEL),
                    model_config=config,
                    input_example=None if on_load or on_predict else example,
                    signature=mlflow.models.infer_signature(
                        example, pd.DataFrame({"y": [1.0, 2.0]})
                    ),
                    pip_requirements=["mlflow"],
                )
            self._unruly_sources[key] = (info.model_uri, info.run_id)
        return self.register_source(name, *self._unruly_sources[key])

    def register_source(self, name: str, source: str, run_id: str | None = None) -> str:
        """Register what lies at `source` (`models:/m-...`, `runs:/...`) as the next version."""
        with self.active() as mlflow:
            client = self.client
            with contextlib.suppress(mlflow.exceptions.MlflowException):
                client.create_registered_model(name)
            model_id = source.removeprefix("models:/") if source.startswith("models:/m-") else None
            made = client.create_model_version(name, source, run_id=run_id, model_id=model_id)
            return str(made.version)

    # -- promotions ------------------------------------------------------------------------------

    def set_alias(self, name: str, alias: str, version: str | int) -> None:
        """Point an alias at a version."""
        with self.active():
            self.client.set_registered_model_alias(name, alias, str(version))

    def delete_alias(self, name: str, alias: str) -> None:
        """Take an alias away."""
        with self.active():
            self.client.delete_registered_model_alias(name, alias)

    def set_stage(
        self, name: str, version: str | int, stage: str = "Production", *, archive: bool = True
    ) -> None:
        """Put a version into a stage, archiving the versions that were there unless told not to."""
        with self.active():
            self.client.transition_model_version_stage(
                name, str(version), stage, archive_existing_versions=archive
            )

    def delete_version(self, name: str, version: str | int) -> None:
        """Delete one version."""
        with self.active():
            self.client.delete_model_version(name, str(version))

    def delete_model(self, name: str) -> None:
        """Delete a registered model with its versions."""
        with self.active():
            self.client.delete_registered_model(name)

    # -- life ------------------------------------------------------------------------------------

    def stop(self) -> None:
        """End the server and every process it started."""
        stop_tree(self.process)


def start(folder: Path, *more: str) -> MlflowServer:
    """Start a server on a sqlite store and local artifacts below `folder`; wait until it answers.

    `more` are further arguments of the command.
    """
    folder.mkdir(parents=True, exist_ok=True)
    port = free_port()
    uri = f"http://127.0.0.1:{port}"
    command = [
        *(sys.executable, "-m", "mlflow", "server"),
        *("--backend-store-uri", f"sqlite:///{(folder / 'mlflow.db').as_posix()}"),
        *("--artifacts-destination", (folder / "artifacts").as_uri()),
        *("--host", "127.0.0.1", "--port", str(port), "--workers", "1"),
        *more,
    ]
    environment = {**os.environ, **_QUIET}
    for key in _URIS:
        environment.pop(key, None)
    with (folder / "server.log").open("ab") as log:
        process = subprocess.Popen(
            command,
            cwd=folder,
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
    try:
        _wait_healthy(uri, process, folder / "server.log")
    except BaseException:
        stop_tree(process)
        raise
    return MlflowServer(uri, folder, process)


def stop_tree(process: subprocess.Popen[bytes]) -> None:
    """End a process that was started here, with its children: politely, then not."""
    try:
        children = psutil.Process(process.pid).children(recursive=True)
    except psutil.NoSuchProcess:
        children = []
    if process.poll() is None:
        process.send_signal(signal.SIGTERM)
    for child in children:
        with contextlib.suppress(psutil.NoSuchProcess):
            child.terminate()
    with contextlib.suppress(subprocess.TimeoutExpired):
        process.wait(STOP_TIMEOUT_S)
    if process.poll() is None:
        process.kill()
        process.wait(STOP_TIMEOUT_S)
    _, alive = psutil.wait_procs(children, timeout=STOP_TIMEOUT_S)
    for child in alive:
        with contextlib.suppress(psutil.NoSuchProcess):
            child.kill()


def _wait_healthy(uri: str, process: subprocess.Popen[bytes], log: Path) -> None:
    deadline = time.monotonic() + START_TIMEOUT_S
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    while time.monotonic() < deadline:
        if process.poll() is not None:
            break
        with (
            contextlib.suppress(OSError, urllib.error.URLError),
            opener.open(f"{uri}/health", timeout=2),
        ):
            return
        time.sleep(0.05)
    said = log.read_text("utf-8", "replace")[-3000:]
    raise RuntimeError(f"the MLflow server did not answer at {uri}; it said:\n{said}")
