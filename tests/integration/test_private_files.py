"""Whatever a service creates below CACHE_DIR is its user's alone."""

import json
import os
import stat
import subprocess
import sys
import tempfile
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


AS_SOMEBODY_ELSE = """
import json, os, socket, sys
got = []
os.setgroups([])
os.setgid(65534)
os.setuid(65534)
for path in json.loads(sys.argv[1]):
    for way in (os.listdir, lambda path: open(path, "rb"), lambda path: open(path, "ab"),
                lambda path: socket.socket(socket.AF_UNIX).connect(path)):
        try:
            way(path)
            got.append(path)
        except OSError:
            pass
print(json.dumps(got))
"""


def opened_by_another_user(paths: list[str]) -> list[str]:
    """Return what another user of this machine could list, read, write or connect to."""
    tried = subprocess.run(
        [sys.executable, "-ISc", AS_SOMEBODY_ELSE, json.dumps(paths)],
        capture_output=True,
        text=True,
        check=True,
        cwd="/",
    )
    got: list[str] = json.loads(tried.stdout)
    return got


def sockets_of(service: running_service.RunningService) -> list[str]:
    """Return every socket among files that its processes have."""
    found = {
        str(connection.laddr)
        for process in service.family()
        for connection in process.net_connections("unix")
    }
    return sorted(path for path in found if path.startswith("/"))


def test_everything_below_cache_dir_is_private_whatever_the_umask(
    mlflow_server: MlflowServer,
) -> None:
    """Versions, compiled predictors, journal, states, locks, sockets, and workers' folders.

    Another user, where this is tried by root, gets at none of it.
    """
    guide = register_guide(mlflow_server)
    # The folder's name is short: what a socket's path is too long for goes elsewhere.
    with (
        tempfile.TemporaryDirectory(prefix="h", dir="/tmp") as folder,
        running_service.start(
            Path(folder),
            mlflow_server.uri,
            command=("-c", SERVE_WITH_UMASK_0),
            model_alias=guide.alias,
        ) as service,
    ):
        service.wait_until(
            lambda: service.info()["serving"]["predictors"]["state"] == "tuned", "tuned"
        )
        service.wait_until(service.knows_good, "the last known good version is noted")
        cache_dir = service.cache_dir
        made = {below.name for below in cache_dir.iterdir()}
        assert {"versions", "compiled", "journal.db", "needs", "locks", "temp"} <= made
        sockets = [str(one) for one in (cache_dir / "temp").rglob("*") if one.is_socket()]
        assert sockets
        assert set(sockets_of(service)) == set(sockets)
        assert open_to_others(cache_dir) == []
        if os.geteuid() == 0:
            # Let it through to CACHE_DIR itself: what it meets there is what is tried.
            Path(folder).chmod(0o755)
            assert opened_by_another_user([folder]) == [folder]
            below = map(str, cache_dir.rglob("*"))
            assert opened_by_another_user([str(cache_dir), *below]) == []
            # And not by that folder's rights alone: each has its own.
            cache_dir.chmod(0o755)
            (cache_dir / "temp").chmod(0o755)
            assert opened_by_another_user(sockets) == []
