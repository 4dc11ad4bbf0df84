"""The server process is up immediately, and small: it imports nothing that models need."""

import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]
HEAVY = (
    "google",
    "grpc",
    "llvmlite",
    "mlflow",
    "model_signing",
    "onnxruntime",
    "pandas",
    "pyarrow",
    "scipy",
    "sigstore",
    "skops",
    "sklearn",
    "treelite",
    "tuf",
)
MAKE = """
import sys
from service.app import create_app
from service.deployments import Deployments
from service.settings.environment import load_settings
app = create_app(Deployments(load_settings({"CACHE_DIR": sys.argv[1]})))
"""
ASK = """
import anyio, httpx

async def ask():
    async with httpx.AsyncClient(
        transport=httpx.ASGITransport(app), base_url="http://server.test"
    ) as client:
        alive = await client.get("/health/live")
        assert alive.status_code == 200, alive.text
        nothing = await client.post("/predict", json={"instances": [{"a": 1}]})
        assert nothing.status_code == 503, nothing.text

anyio.run(ask)
"""
UNTIL_THE_FORK_SERVER = """
import os, sys
from service.cli import cli
from service.processes import launch

class Enough(Exception):
    pass

def stop_here(*_):
    raise Enough

launch.start_fork_server = stop_here
os.environ.update(CACHE_DIR=sys.argv[1], PORT="0")
try:
    cli(["serve"], standalone_mode=False)
except Enough:
    pass
"""
TELL = "print('imported:', *sorted({name.split('.')[0] for name in sys.modules}))"


def imported(tmp_path: Path, code: str) -> set[str]:
    """Return the top-level names that a process has imported after running the code."""
    ended = subprocess.run(
        [sys.executable, "-c", code + TELL, str(tmp_path)],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    assert ended.returncode == 0, ended.stderr
    return set(ended.stdout.splitlines()[-1].removeprefix("imported: ").split())


def test_the_server_imports_neither_mlflow_nor_what_models_compute_with(tmp_path: Path) -> None:
    """Making the application is all that it takes to find out."""
    names = imported(tmp_path, MAKE)
    assert "litestar" in names
    assert names.isdisjoint(HEAVY)


def test_answering_requests_imports_nothing_more_of_that_kind(tmp_path: Path) -> None:
    """Nor does whatever a handler imports when it is first called."""
    assert imported(tmp_path, MAKE + ASK).isdisjoint(HEAVY)


def test_the_fork_server_is_started_before_the_application_is_imported(tmp_path: Path) -> None:
    """So that the seconds of its imports go by meanwhile."""
    names = imported(tmp_path, UNTIL_THE_FORK_SERVER)
    assert "multiprocessing" in names
    assert names.isdisjoint({"litestar", "uvicorn", "structlog", "numpy", *HEAVY})
