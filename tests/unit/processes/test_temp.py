import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import filelock
import pytest

from service.processes.own_folder import FolderError
from service.processes.temp import TempFolder

_KILLED = """
import os, signal, sys
from pathlib import Path
from service.processes.temp import TempFolder
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
    """Two processes don't touch each other's."""
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


def test_a_file_in_the_way_is_told_in_one_line(tmp_path: Path) -> None:
    """No traceback ends a start."""
    (tmp_path / "temp").touch()
    with pytest.raises(FolderError, match=r"^no folder for temporary files"):
        TempFolder(tmp_path / "temp")


def test_a_new_lock_that_another_service_removes_is_made_anew(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It may take the new file for one that was left behind, before it is locked."""
    acquire = filelock.FileLock.acquire
    stolen: list[Path] = []

    def steal(lock: filelock.FileLock, *arguments: Any, **more: Any) -> Any:
        held = acquire(lock, *arguments, **more)
        if len(stolen) < 3:
            stolen.append(Path(lock.lock_file))
            stolen[-1].unlink()
        return held

    monkeypatch.setattr(filelock.FileLock, "acquire", steal)
    folder = TempFolder(tmp_path)
    assert folder.path.with_suffix(".lock") not in stolen
    assert folder.path.with_suffix(".lock").exists()


def test_locks_that_others_always_hold_end_in_one_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """After some tries, and immediately."""

    def hold(lock: filelock.FileLock, *_: Any, **__: Any) -> None:
        raise filelock.Timeout(str(lock.lock_file))

    monkeypatch.setattr(filelock.FileLock, "acquire", hold)
    with pytest.raises(FolderError, match="other services remove each new folder"):
        TempFolder(tmp_path)


_START_TOGETHER = """
import sys
from pathlib import Path
from service.processes.temp import TempFolder
root, kept = Path(sys.argv[1]), []
sys.stdin.readline()
for _ in range(40):
    kept.append(TempFolder(root))
    if len(kept) > 3:
        kept.pop(0)
    assert all(folder.path.is_dir() for folder in kept)
    assert all(folder.path.with_suffix(".lock").exists() for folder in kept)
"""


def test_services_that_start_together_keep_their_folders(tmp_path: Path) -> None:
    """Each sweeps what was left behind while the others make their own."""
    processes = [
        subprocess.Popen(
            [sys.executable, "-c", _START_TOGETHER, str(tmp_path)],
            stdin=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        for _ in range(3)
    ]
    said = [process.communicate("go\n", timeout=60)[1] for process in processes]
    assert said == ["", "", ""]
