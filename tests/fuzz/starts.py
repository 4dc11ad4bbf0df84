"""A target that takes seconds a case: a service starts with damaged files in its CACHE_DIR."""

import shutil
from pathlib import Path
from random import Random
from typing import Any

from tests.fuzz.nonsense import json_text, mutated, value
from tools.running_service import START_TIMEOUT_S, RunningService, start


class Starts:
    """Starts of a service whose state on disk was damaged while it was away."""

    name = "starts"

    def __init__(self, folder: Path, cache_dir: Path, uri: str, settings: dict[str, Any]) -> None:
        self._folder = folder
        self._cache_dir = cache_dir
        self._uri = uri
        self._settings = settings

    def run(self, rng: Random) -> str:
        """Damage one to three files of a copy, and start on it: it serves, and tells no defect."""
        folder = self._folder / "start"
        shutil.rmtree(folder, ignore_errors=True)
        shutil.copytree(self._cache_dir, folder / "cache", symlinks=True)
        files = sorted(
            path
            for path in (folder / "cache").rglob("*")
            if path.is_file() and "temp" not in path.parts and path.suffix != ".lock"
        )
        damaged = [self._damage(rng, file) for file in rng.sample(files, rng.randint(1, 3))]
        told = ", ".join(damaged)
        with start(folder, self._uri, wait=False, **self._settings) as service:
            service.wait_until(
                lambda: _why_not(service) is not None, f"it stands: {told}", START_TIMEOUT_S
            )
            why_not = _why_not(service)
            answer = service.predict({"double": 1.0})
            served = answer.status_code == 200
            assert served or why_not, f"{told}: {answer.text}"
            log = service.log.read_text("utf-8", "replace")
        assert "Traceback" not in log, f"{told}: {log[log.index('Traceback') :][:1200]}"
        return "held" if why_not else "served"

    def settle(self) -> None:
        """Each start was looked at by itself."""

    @staticmethod
    def _damage(rng: Random, file: Path) -> str:
        file.parent.chmod(0o700)
        file.chmod(0o600)
        match rng.randrange(6):
            case 0:
                file.unlink()
            case 1:
                file.write_bytes(b"")
            case 2:
                file.unlink()
                file.mkdir()
            case 3:
                file.write_bytes(json_text(value(rng)))
            case _:
                file.write_bytes(mutated(rng, file.read_bytes()))
        return file.name


def _why_not(service: RunningService) -> str | None:
    """Return '' once a version serves, or why none does: a pin is unknown; None for not yet."""
    health = service.get("/health")
    if health.status_code == 200:
        return ""
    error = str(health.json()["error"])
    return error if "pin" in error else None
