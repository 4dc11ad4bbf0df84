import contextlib
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
import pytest

from service.processes.single_process import SENTENCE
from tests.support.waiting import until
from tools.mlflow_server import free_port

ROOT = Path(__file__).parents[2]
FACTORY = """
import os
from pathlib import Path
from service.processes.single_process import hold_listener


async def app(scope, receive, send):
    if scope["type"] == "lifespan":
        while (await receive())["type"] == "lifespan.startup":
            await send({"type": "lifespan.startup.complete"})
        print("drained", flush=True)
        await send({"type": "lifespan.shutdown.complete"})
        return
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": str(os.getpid()).encode()})


held = []


def create_app():
    folder, wait_s = Path(os.environ["LOCKS"]), float(os.environ["WAIT_S"])
    # Twice, as servers may.
    held[:] = [hold_listener(folder, wait_s) for _ in range(2)]
    return app
"""
UVICORN = ["-m", "uvicorn", "--factory", "one_factory:create_app", "--port={port}"]
GUNICORN = ["-m", "gunicorn", "-k", "asgi", "--bind=127.0.0.1:{port}", "one_factory:create_app()"]
only_linux = pytest.mark.skipif(sys.platform != "linux", reason="found by Linux's descriptors")
ENDS_WITHIN_S = 30.0


@contextmanager
def started(
    folder: Path, command: list[str], port: int, **environ: str
) -> Iterator[subprocess.Popen[str]]:
    """Start a server on a factory of ours, and end what is left of it."""
    (folder / "one_factory.py").write_text(FACTORY)
    locks = str(folder / "locks")
    with subprocess.Popen(
        [sys.executable, *(word.format(port=port) for word in command)],
        cwd=folder,
        env={**os.environ, "PYTHONPATH": f"{ROOT}:{folder}", "LOCKS": locks, **environ},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
    ) as process:
        try:
            yield process
        finally:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)


def server_pid(port: int) -> int | None:
    """Return the process that answers there; None where none does."""
    try:
        return int(httpx.get(f"http://127.0.0.1:{port}/").text)
    except httpx.HTTPError:
        return None


def test_a_process_that_has_inherited_no_socket_holds_nothing(tmp_path: Path) -> None:
    """One that is connected is none to be called by. In a process that no other test has used."""
    program = f"""
import socket
from pathlib import Path
from service.processes.single_process import hold_listener
ends = socket.socketpair()
print(hold_listener(Path({str(tmp_path)!r})))
"""
    told = subprocess.run(
        [sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, check=True
    )
    assert told.stdout == "None\n"


@only_linux
@pytest.mark.parametrize(
    ("command", "environ"),
    [
        ([*UVICORN, "--workers=3"], {}),
        (UVICORN, {"WEB_CONCURRENCY": "2"}),
        ([*GUNICORN, "-w", "3"], {}),
    ],
    ids=["uvicorn", "uvicorn by WEB_CONCURRENCY", "gunicorn"],
)
def test_several_server_processes_end_with_one_sentence(
    tmp_path: Path, command: list[str], environ: dict[str, str]
) -> None:
    """All of them, the supervisor too, which says by its status that something was wrong."""
    with started(tmp_path, command, free_port(), WAIT_S="1", **environ) as process:
        # Its end is that of all who could write to it.
        said, _ = process.communicate(timeout=ENDS_WITHIN_S)
    assert process.returncode != 0
    assert said.count(SENTENCE) == 1
    # None where it was ended while it started.
    assert said.count("drained") <= 1
    # gunicorn's supervisor writes one of its own.
    assert "Traceback" not in said or "gunicorn" in command


@pytest.mark.parametrize(
    "command",
    [[*UVICORN, "--workers=1"], [*UVICORN, "--reload"], [*GUNICORN, "-w", "1"]],
    ids=["uvicorn", "uvicorn --reload", "gunicorn"],
)
async def test_one_server_process_serves(tmp_path: Path, command: list[str]) -> None:
    """Whether or not it has a supervisor; and after a reload of gunicorn's, which overlaps."""
    port = free_port()
    with started(tmp_path, command, port, WAIT_S="25") as process:
        await until(lambda: server_pid(port) is not None, ENDS_WITHIN_S)
        first = server_pid(port)
        if command[1] == "gunicorn":
            process.send_signal(signal.SIGHUP)
            await until(lambda: server_pid(port) not in {None, first}, ENDS_WITHIN_S)
        process.terminate()
        said, _ = process.communicate(timeout=ENDS_WITHIN_S)
    assert SENTENCE not in said
