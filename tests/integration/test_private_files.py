"""Whatever a service creates below CACHE_DIR is its user's alone."""

import os
import stat
import sys
from pathlib import Path

import pytest

from tests.support.guide import register_guide
from tools import running_service
from tools.mlflow_server import MlflowServer

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="has rights of another kind")
SERVE_WITH_UMASK_0 = (
    "import os, sys; os.umask(0); sys.argv[1:] = ['serve'];"
    "from service.__main__ import main; main()"
)


def open_to_others(folder: Path) -> list[str]:
    """Return what group or others may do anything with, and its rights."""
    found = []
    for below in [folder, *folder.rglob("*")]:
        mode = below.lstat().st_mode
        if not stat.S_ISLNK(mode) and mode & 0o077:
            found.append(f"{stat.filemode(mode)} {below.relative_to(folder)}")
    return found


def test_everything_below_cache_dir_is_private_whatever_the_umask(
    mlflow_server: MlflowServer, tmp_path: Path
) -> None:
    """Versions, compiled predictors, journal, states, locks, sockets, and workers' folders."""
    guide = register_guide(mlflow_server)
    with running_service.start(
        tmp_path,
        mlflow_server.uri,
        command=("-c", SERVE_WITH_UMASK_0),
        model_alias=guide.alias,
    ) as service:
        service.wait_until(
            lambda: service.info()["serving"]["predictors"]["state"] == "tuned", "tuned"
        )
        service.wait_until(service.knows_good, "the last known good version is noted")
        cache_dir = service.cache_dir
        made = {below.name for below in cache_dir.iterdir()}
        assert {"versions", "compiled", "journal.db", "needs", "locks", "temp"} <= made
        sockets = [one for one in (cache_dir / "temp").rglob("*") if one.is_socket()]
        has_short_paths = len(os.fspath(cache_dir / "temp")) < 50
        assert sockets or not has_short_paths
        assert open_to_others(cache_dir) == []
