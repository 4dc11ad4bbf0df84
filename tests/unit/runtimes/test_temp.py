import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from service.runtimes.temp import TempFolder

_KILLED = """
import os, signal, sys
from pathlib import Path
from service.runtimes.temp import TempFolder
folder = TempFolder(Path(sys.argv[1]))
(folder.path / "left").write_text("behind")
os.kill(os.getpid(), getattr(signal, "SIGKILL", signal.SIGTERM))
"""


@pytest.fixture(autouse=True)
def tempdir_as_before() -> Iterator[None]:
    """Leave this process's own setting as it was."""
    before = tempfile.tempdir
    yield
    tempfile.tempdir = before


def test_each_process_has_a_folder_of_its_own(tmp_path: Path) -> None:
    """Two at once don't touch each other's."""
    one, other = TempFolder(tmp_path), TempFolder(tmp_path)
    assert one.path != other.path
    assert one.path.is_dir()
    assert other.path.is_dir()


def test_what_a_killed_process_left_behind_is_removed_by_the_next(tmp_path: Path) -> None:
    """Its lock went with it."""
    subprocess.run([sys.executable, "-c", _KILLED, str(tmp_path)], check=False, timeout=60)
    assert [file.name for file in tmp_path.rglob("left")] == ["left"]
    folder = TempFolder(tmp_path)
    assert list(tmp_path.rglob("left")) == []
    assert [entry for entry in tmp_path.iterdir() if entry.is_dir()] == [folder.path]


def test_temporary_files_go_there_if_a_socket_fits(tmp_path: Path) -> None:
    """A long path is left alone: nothing could listen below it."""
    tempfile.tempdir = None
    TempFolder(tmp_path / ("long" * 20)).use()
    assert tempfile.tempdir is None
    with tempfile.TemporaryDirectory() as short:
        folder = TempFolder(Path(short))
        folder.use()
        assert Path(tempfile.gettempdir()) == folder.path
