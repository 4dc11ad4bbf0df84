"""Which Python a version's environment is made of."""

import os
import platform
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from anyio import CapacityLimiter

from service.core.errors import EnvironmentRefusedError
from service.environments.pythons import Pythons, minor_of, without_shims
from service.environments.uv import Uv


@pytest.mark.parametrize(
    ("version", "minor"), [("3.11.7", "3.11"), ("3.12", "3.12"), ("3.14.0rc1", "3.14")]
)
def test_the_minor_version_counts(version: str, minor: str) -> None:
    """As for MLflow, which warns of no other difference."""
    assert minor_of(version) == minor


@pytest.mark.parametrize("version", ["3.9.18", "2.7.18"])
def test_one_that_no_worker_runs_on_is_refused(version: str) -> None:
    """The sentence says which ones do."""
    with pytest.raises(EnvironmentRefusedError, match=r"workers run on 3\.10 and later"):
        minor_of(version)


@pytest.mark.parametrize("version", ["3", "latest", "3.11; rm -rf /", "--version", "../python3.11"])
def test_what_is_no_version_is_refused(version: str) -> None:
    """It never gets as far as uv."""
    with pytest.raises(EnvironmentRefusedError, match="which is no version"):
        minor_of(version)


@pytest.fixture
def managed(tmp_path: Path) -> Path:
    """Give a version manager's folder: a Python like ours, and a shim for it that fails."""
    shims, behind = tmp_path / "shims", tmp_path / "versions" / platform.python_version() / "bin"
    for folder in (shims, behind, tmp_path / "versions" / "2.7.18" / "bin"):
        folder.mkdir(parents=True)
    name = f"python{minor_of(platform.python_version())}"
    (shims / name).write_text("#!/bin/sh\necho no version is chosen >&2\nexit 127\n")
    (shims / name).chmod(0o755)
    (behind / name).symlink_to(Path(sys.executable).resolve())
    return tmp_path


@pytest.mark.skipif(os.name == "nt", reason="version managers have no shims of this kind there")
async def test_a_shim_that_fails_hides_no_python(managed: Path) -> None:
    """What stands behind it is found."""
    path = os.pathsep.join((str(managed / "shims"), "/usr/bin", "/bin"))
    variables = {"PATH": path, "UV_PYTHON_DOWNLOADS": "never", "UV_PYTHON_PREFERENCE": "system"}
    uv = Uv(managed / "cache", managed, variables, CapacityLimiter(2))
    found = await Pythons(uv).find(platform.python_version(), 60.0, lambda _: None)
    assert found.path.startswith(str(managed / "versions"))
    assert found.version == platform.python_version()


def test_the_newest_behind_shims_come_first_and_all_else_stays(tmp_path: Path) -> None:
    """By numbers, not by letters; a folder of that name without anything behind it comes last."""
    for version in ("3.9.1", "3.12.10", "3.12.9", "system"):
        (tmp_path / "versions" / version / "bin").mkdir(parents=True)

    def shown() -> Iterator[str]:
        path = os.pathsep.join(("/usr/bin", str(tmp_path / "shims"), "", "/nowhere/shims"))
        for folder in without_shims(path).split(os.pathsep):
            yield Path(folder).parent.name if folder.startswith(str(tmp_path)) else folder

    assert list(shown()) == [
        *("/usr/bin", "3.12.10", "3.12.9", "3.9.1", "system", "", "/nowhere/shims"),
    ]
