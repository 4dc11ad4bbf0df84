"""`hotswap demo`: a registry, a model in two versions and the service, all on this machine."""

import json
import os
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.progress import Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

from service.commands.demo.processes import Crashed, Stopped, started, until_stopped
from service.commands.demo.story import story
from service.settings.settings import FIELDS
from service.wire.listening import ListenError, listen

NAME = "archive-forecast-rf"
ALIAS = "champion"
_HOST = "127.0.0.1"
_SERVER_LIMIT_S = 120.0
_TRAIN_LIMIT_S = 300.0
_READY_LIMIT_S = 180.0
# Requests to our own machine must not go through a proxy.
_DIRECT = urllib.request.build_opener(urllib.request.ProxyHandler({}))


def run_demo(*, port: int, mlflow_port: int, folder: Path) -> int:
    """Run the demo until a signal ends it. Return the exit status.

    Everything that it starts has ended when it returns.
    """
    console = Console()
    try:
        _check_ports(port, mlflow_port)
        with until_stopped():
            _run(console, port, mlflow_port, folder)
    except (ListenError, Crashed) as error:
        console.print(f"[red]{error}[/red]", soft_wrap=True, highlight=False)
        return 1
    except Stopped as stopped:
        console.print("Everything that the demo started has ended.")
        return stopped.status
    return 0


def _check_ports(port: int, mlflow_port: int) -> None:
    for number, option in ((port, "--port"), (mlflow_port, "--mlflow-port")):
        listen(_HOST, number, setting=option).close()
    if port == mlflow_port:
        raise ListenError(f"--port and --mlflow-port are both {port}: set one to another")


def _run(console: Console, port: int, mlflow_port: int, folder: Path) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    mlflow = f"http://{_HOST}:{mlflow_port}"
    service = f"http://{_HOST}:{port}"
    environ = _environ(folder, port, mlflow)
    registered = folder / "registered"
    train = (
        [sys.executable, "-m", "service.commands.demo.model", mlflow],
        environ,
        folder / "train.log",
    )
    serve = ([sys.executable, "-m", "service", "serve"], environ, folder / "service.log")
    with ExitStack() as stack:
        server = stack.enter_context(
            started(_server(folder, mlflow_port), environ, folder / "mlflow.log")
        )
        # What takes seconds to start does so beside the server, and waits for it by itself.
        first_run = not registered.exists()
        beside = stack.enter_context(started(*(train if first_run else serve)))
        with _steps(console) as step:
            with step("MLflow's server"):
                _wait(lambda: _get(f"{mlflow}/health") is not None, server.check, _SERVER_LIMIT_S)
            if first_run:
                with step("two versions trained and registered"):
                    beside.wait(_TRAIN_LIMIT_S)
                    registered.touch()
            served = stack.enter_context(started(*serve)) if first_run else beside
            version = _promoted(mlflow)
            with step(f"the service, with version {version}"):
                _wait(lambda: _get(f"{service}/health") is not None, served.check, _READY_LIMIT_S)
        text = story(service=service, mlflow=mlflow, name=NAME, alias=ALIAS, version=version)
        # Soft: a command that is broken over lines can't be copied.
        console.print(text, soft_wrap=True, highlight=False)
        # What the service logs from now on is the story of the promotion.
        served.follow(console)
        while True:
            server.check()
            served.check()
            time.sleep(0.2)


def _server(folder: Path, port: int) -> list[str]:
    return [
        *(sys.executable, "-m", "mlflow", "server"),
        *("--backend-store-uri", f"sqlite:///{(folder / 'mlflow.db').as_posix()}"),
        *("--artifacts-destination", (folder / "artifacts").as_uri()),
        *("--host", _HOST, "--port", str(port), "--workers", "1"),
    ]


def _environ(folder: Path, port: int, mlflow: str) -> Mapping[str, str]:
    """Our environment, in which the demo's own settings replace any of the caller's."""
    names = {field.name.upper() for field in FIELDS}
    kept = {name: value for name, value in os.environ.items() if name.upper() not in names}
    package_root = str(Path(__file__).resolve().parents[3])
    return kept | {
        "MODEL_NAME": NAME,
        "MODEL_ALIAS": ALIAS,
        "MLFLOW_TRACKING_URI": mlflow,
        "HOST": _HOST,
        "PORT": str(port),
        "CACHE_DIR": str(folder / "cache"),
        # What somebody registers besides may need other packages than are here.
        "ENVIRONMENT": "auto",
        "DRAIN_TIMEOUT_S": "5",
        "LOG_FORMAT": "console",
        "MLFLOW_DISABLE_TELEMETRY": "true",
        # Without it the server starts further processes, for features that no one uses here.
        "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false",
        "NO_PROXY": ",".join(filter(None, (kept.get("NO_PROXY"), _HOST, "localhost"))),
        "PYTHONPATH": os.pathsep.join(filter(None, (package_root, kept.get("PYTHONPATH")))),
        "PYTHONUNBUFFERED": "1",
        "PYTHONUTF8": "1",
    }


@contextmanager
def _steps(console: Console) -> Iterator[Callable[[str], Any]]:
    """Show each step of the way, how long it took, and which one is under way."""
    columns = (SpinnerColumn(finished_text="✓"), TextColumn("{task.description}"))
    with Progress(*columns, TimeElapsedColumn(), console=console) as progress:

        @contextmanager
        def step(text: str) -> Iterator[None]:
            task = progress.add_task(text, total=1)
            yield
            progress.advance(task)

        yield step


def _wait(ready: Callable[[], bool], check: Callable[[], None], limit_s: float) -> None:
    """Wait for a state. Raise Crashed where the process ends, or takes too long."""
    deadline = time.monotonic() + limit_s
    while not ready():
        check()
        if time.monotonic() > deadline:
            raise Crashed(f"not ready after {limit_s:g} s: the logs in the demo's folder say why")
        time.sleep(0.1)


def _get(url: str) -> bytes | None:
    """Return what an address answers with 200, None for anything else."""
    try:
        with _DIRECT.open(url, timeout=5) as answer:
            body: bytes = answer.read()
            return body
    except OSError:
        return None


def _promoted(mlflow: str) -> str:
    """Return the version that the alias names: 1, or what an earlier run left promoted."""
    found = _get(f"{mlflow}/api/2.0/mlflow/registered-models/alias?name={NAME}&alias={ALIAS}")
    if found is None:
        raise Crashed(
            f"MLflow has no alias {ALIAS} of {NAME}: delete the demo's folder to begin anew"
        )
    return str(json.loads(found)["model_version"]["version"])
