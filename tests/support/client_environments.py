"""Environments of clients that are no dependency of ours, made once from locks with hashes.

    python -m tests.support.client_environments CLIENT...

makes some of them before a test asks for them.
"""

import importlib.util
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import filelock

from tools.processes import python_of

_CLIENTS = Path(__file__).parents[1] / "clients"
_ENVIRONMENTS = Path(__file__).parents[2] / ".clients"
_LIMIT_S = 160
_RUN_LIMIT_S = 120


def interpreter_of(client: str) -> str:
    """Return the Python of a client's environment, made first where other packages are locked."""
    folder = _ENVIRONMENTS / client
    _ENVIRONMENTS.mkdir(exist_ok=True)
    # CI makes them beside the tests.
    with filelock.FileLock(folder.with_suffix(".lock"), timeout=3 * _LIMIT_S):
        _make(folder, _CLIENTS / f"{client}.txt")
    return python_of(folder)


def _make(folder: Path, lock: Path) -> None:
    """Make the environment of a lock, unless it is there."""
    installed, locked = folder / "installed.txt", lock.read_text("utf-8")
    if installed.exists() and installed.read_text("utf-8") == locked:
        return
    _run(sys.executable, "-m", "venv", "--clear", "--without-pip", str(folder))
    # By one pip for all, which takes as long to install as one for each environment.
    _run(
        *(_with_pip(), "-m", "pip", "--python", python_of(folder), "install", "--quiet"),
        *("--no-deps", "--require-hashes", "--requirement", str(lock)),
    )
    installed.write_text(locked, "utf-8")


def said_by(script: str, *arguments: str) -> dict[str, Any]:
    """Run a script by the interpreter of the client that it names first; return what it printed."""
    client = script.partition("_")[0]
    done = subprocess.run(
        [interpreter_of(client), _CLIENTS / f"{script}_client.py", *arguments],
        capture_output=True,
        text=True,
        timeout=_RUN_LIMIT_S,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    said: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return said


def _with_pip() -> str:
    """Return an interpreter that has pip: ours, or that which our environment was made by."""
    if importlib.util.find_spec("pip") is not None:
        return sys.executable
    return str(Path(sys.base_prefix) / "bin" / "python3")


def _run(*command: str) -> None:
    done = subprocess.run(command, capture_output=True, text=True, timeout=_LIMIT_S, check=False)
    assert done.returncode == 0, done.stderr[-2000:]


def main(clients: list[str]) -> int:
    """Make these environments; return 1 where one of them can't be made."""
    failed = 0
    for client in clients:
        try:
            interpreter_of(client)
        except (AssertionError, OSError, subprocess.TimeoutExpired) as error:
            sys.stderr.write(f"{client}: {error}\n")
            failed = 1
    return failed


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
