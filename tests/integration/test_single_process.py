import os
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from service.processes.single_process import SENTENCE, refuse_many_workers

ROOT = Path(__file__).parents[2]
FACTORY = """
from service.processes.single_process import refuse_many_workers


async def app(scope, receive, send):
    assert scope["type"] == "lifespan"
    await receive()
    await send({"type": "lifespan.startup.failed", "message": "one process is fine"})


def create_app():
    refuse_many_workers()
    return app
"""


def run(folder: Path, *arguments: str, **environ: str) -> subprocess.CompletedProcess[str]:
    """Run uvicorn on a factory of ours until it ends."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    (folder / "one_factory.py").write_text(FACTORY)
    options = [*arguments, f"--port={port}", f"--app-dir={folder}"]
    return subprocess.run(
        [sys.executable, "-m", "uvicorn", "--factory", "one_factory:create_app", *options],
        env={**os.environ, "PYTHONPATH": str(ROOT), **environ},
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
    )


def test_a_plain_call_changes_nothing() -> None:
    """Outside of uvicorn's children there is nothing to refuse."""
    refuse_many_workers()


@pytest.mark.parametrize(
    ("arguments", "environ"),
    [(["--workers=3"], {}), ([], {"WEB_CONCURRENCY": "2"})],
)
def test_several_workers_end_with_one_sentence(
    tmp_path: Path, arguments: list[str], environ: dict[str, str]
) -> None:
    """The supervisor ends too, and says by its status that something was wrong."""
    ended = run(tmp_path, *arguments, **environ)
    assert ended.returncode != 0
    assert ended.stderr.count(SENTENCE) == 1
    assert "one process is fine" not in ended.stderr
    assert "Traceback" not in ended.stderr


def test_one_worker_is_served(tmp_path: Path) -> None:
    """One worker reaches the application's own lifespan."""
    ended = run(tmp_path, "--workers=1")
    assert "one process is fine" in ended.stderr
    assert SENTENCE not in ended.stderr
