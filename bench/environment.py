"""Environments of the peers' own, one each, made once from pinned requirements."""

import shutil
import subprocess
import sys
from pathlib import Path

from tools.processes import BrokenError, python_of

_REQUIREMENTS = Path(__file__).with_name("requirements")
_INSTALL_LIMIT_S = 900


def environment_of(peer: str, environments: Path) -> Path:
    """Return a peer's environment, installed if it is not there or other versions are pinned."""
    pinned = (_REQUIREMENTS / f"{peer}.txt").read_text("utf-8")
    return installed(environments / peer, sys.executable, pinned)


def installed(folder: Path, python: str, pinned: str) -> Path:
    """Return an environment with these requirements, made if there is none of just these."""
    kept = folder / "installed.txt"
    if kept.exists() and kept.read_text("utf-8") == pinned:
        return folder
    print(f"installing {folder.name} into {folder}", flush=True)
    _uv("venv", "--clear", "--python", python, str(folder))
    requirements = folder / "requirements.txt"
    requirements.write_text(pinned, "utf-8")
    into = ("--python", python_of(folder))
    _uv("pip", "install", "--compile-bytecode", *into, "--requirement", str(requirements))
    kept.write_text(pinned, "utf-8")
    return folder


def _uv(*arguments: str) -> None:
    uv = shutil.which("uv")
    if uv is None:
        raise BrokenError("uv is not installed, which makes the peers' environments")
    done = subprocess.run(
        [uv, "--quiet", *arguments],
        capture_output=True,
        text=True,
        timeout=_INSTALL_LIMIT_S,
        check=False,
    )
    if done.returncode:
        raise BrokenError(f"uv {arguments[0]} failed: {done.stderr.strip()[-500:]}")
