"""The servers that are measured: how each is started, what it is given, how it is asked."""

import contextlib
import json
import os
import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from bench import dialects
from bench.dialects import Dialect
from bench.environment import environment_of
from bench.ground import MODEL_URI, Ground
from tools.mlflow_server import free_port
from tools.processes import ProcessTree, python_of, running

_HOST = "127.0.0.1"
_APPS = Path(__file__).with_name("apps")


@dataclass(frozen=True)
class Contender:
    """One server: `given` says for readers what it got, `peer` names an environment of its own."""

    key: str
    title: str
    given: str
    command: Callable[[str, int, Path], Sequence[str]]
    """Returns its command line from its interpreter, its port and its folder."""

    dialect: Dialect = dialects.INSTANCES
    path: str = "/predict"
    peer: str = ""
    environ: dict[str, str] = field(default_factory=dict)
    learns_s: float = 0.0
    """How long it takes to learn a load that differs much from the one before."""
    answers: bool = True
    """Whether it answers with predictions."""
    ours: bool = False
    """Whether it is this service, of whatever revision: it takes Arrow and tells its engines."""

    @contextlib.contextmanager
    def started(
        self, ground: Ground, is_up: Callable[[str], bool], **settings: str
    ) -> Iterator[tuple[str, ProcessTree]]:
        """Run it until the block ends; give the address to send to, and its processes."""
        python = python_of(environment_of(self.peer, ground.environments) if self.peer else None)
        port = free_port()
        url = f"http://{_HOST}:{port}{self.path}"
        folder = ground.folder / self.key
        folder.mkdir(parents=True, exist_ok=True)
        environ = ground.environ() | {
            # `mlflow models serve` runs the uvicorn that it finds.
            "PATH": os.pathsep.join((str(Path(python).parent), os.environ["PATH"])),
            "PORT": str(port),
            "HOST": _HOST,
            "CACHE_DIR": str(folder / "cache"),
            "MLFLOW_TRACKING_URI": ground.server.uri,
            "MODEL_URI": MODEL_URI,
            **self.environ,
            **settings,
        }
        command = self.command(python, port, folder)
        with running(command, environ, folder, lambda: is_up(url)) as tree:
            yield url, tree


def _uvicorn(app: str) -> Callable[[str, int, Path], Sequence[str]]:
    return lambda python, port, _: [
        *(python, "-m", "uvicorn", app, "--host", _HOST, "--port", str(port)),
        *("--no-access-log", "--log-level", "warning"),
    ]


def _service(_python: str, _port: int, _folder: Path) -> Sequence[str]:
    return [sys.executable, "-m", "service", "serve"]


def _mlflow(python: str, port: int, folder: Path) -> Sequence[str]:
    model = str(folder.parent / "model")
    return [
        *(python, "-m", "mlflow", "models", "serve", "--model-uri", model),
        *("--env-manager", "local", "--host", _HOST, "--port", str(port), "--workers", "1"),
    ]


def _mlserver(
    **batching: float,
) -> Callable[[str, int, Path], Sequence[str]]:
    def command(python: str, port: int, folder: Path) -> Sequence[str]:
        settings = {
            "host": _HOST,
            "http_port": port,
            "grpc_port": free_port(),
            "metrics_port": free_port(),
            "debug": False,
            "parallel_workers": 1,
            "use_structured_logging": False,
        }
        model = {
            "name": "forest",
            "implementation": "mlserver_mlflow.MLflowRuntime",
            "parameters": {"uri": str(folder.parent / "model")},
            **batching,
        }
        (folder / "settings.json").write_text(json.dumps(settings), "utf-8")
        (folder / "model-settings.json").write_text(json.dumps(model), "utf-8")
        return [str(Path(python).with_name("mlserver")), "start", str(folder)]

    return command


def _bentoml(python: str, port: int, _folder: Path) -> Sequence[str]:
    serve = ["serve", "bento_app:Forest", "--working-dir", str(_APPS)]
    return [python, "-m", "bentoml", *serve, "--host", _HOST, "--port", str(port)]


def _litserve(python: str, port: int, _folder: Path) -> Sequence[str]:
    return [python, str(_APPS / "lit_app.py"), str(port)]


BARE = Contender(
    "bare",
    "bare ASGI callable",
    "uvicorn with uvloop and httptools, no access log; reads the body, answers a constant: the "
    "limit of the HTTP layer",
    _uvicorn("bench.apps.bare:app"),
    answers=False,
)
RELAY = Contender(
    "relay",
    "bare ASGI callable that asks a process",
    "the bare callable, after a process of its own has computed for as long as a compiled "
    "forest does",
    _uvicorn("bench.apps.relay:app"),
    answers=False,
)
GUIDE = Contender(
    "guide",
    "FastAPI guide's app",
    "`bench/apps/guide.py` on uvicorn with uvloop and httptools, no access log; one process",
    _uvicorn("bench.apps.guide:app"),
)
MLFLOW_SERVE = Contender(
    "mlflow",
    "mlflow models serve",
    "`--env-manager local --workers 1`; `dataframe_split`, which names each column once",
    _mlflow,
    dialects.DATAFRAME_SPLIT,
    "/invocations",
)
MLSERVER = Contender(
    "mlserver",
    "MLServer",
    "`mlserver-mlflow`, one parallel worker, uvloop under 0.22 (its workers break with later "
    "ones), no access log; the Open Inference Protocol's columns with the pandas codec",
    _mlserver(),
    dialects.OPEN_INFERENCE,
    "/v2/models/forest/infer",
    peer="mlserver",
)
MLSERVER_BATCHING = Contender(
    "mlserver-batching",
    "MLServer, batching",
    "the same with `max_batch_size` 64 and `max_batch_time` 5 ms",
    _mlserver(max_batch_size=64, max_batch_time=0.005),
    dialects.OPEN_INFERENCE,
    "/v2/models/forest/infer",
    peer="mlserver",
)
BENTOML = Contender(
    "bentoml",
    "BentoML, batching",
    "`bench/apps/bento_app.py`: one worker, `batchable=True`, no access log, no metrics; rows as "
    "JSON, floats where the model takes floats (it hands integers on as int64, which pyfunc "
    "refuses). Its waiting time is learned anew every 5 s from the last 50 batches, so it is "
    "warmed up for 6 s where single rows follow large bodies",
    _bentoml,
    dialects.ROWS,
    peer="bentoml",
    learns_s=6,
)
LITSERVE = Contender(
    "litserve",
    "LitServe, batching",
    "`bench/apps/lit_app.py`: one worker, `max_batch_size` 64, `batch_timeout` 5 ms, no access "
    "log; rows as JSON, floats where the model takes floats",
    _litserve,
    dialects.ROWS,
    peer="litserve",
)
HOTSWAP = Contender(
    "hotswap",
    "hotswap, compiled",
    "`python -m service serve` as it comes, with a registry that it polls; one worker",
    _service,
    environ={"COMPILED": "auto"},
    ours=True,
)
HOTSWAP_PYFUNC = Contender(
    "hotswap-pyfunc",
    "hotswap, compiled off",
    "the same with `COMPILED=off`",
    _service,
    environ={"COMPILED": "off"},
    ours=True,
)

ALL = (
    *(BARE, GUIDE, MLFLOW_SERVE, MLSERVER, MLSERVER_BATCHING, BENTOML, LITSERVE),
    *(HOTSWAP, HOTSWAP_PYFUNC),
)
OURS = (HOTSWAP, HOTSWAP_PYFUNC)
PEERS = (MLFLOW_SERVE, MLSERVER, MLSERVER_BATCHING, BENTOML, LITSERVE)
