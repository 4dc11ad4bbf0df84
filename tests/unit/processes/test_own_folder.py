"""CACHE_DIR is the user's alone."""

import os
import stat
import sys
from pathlib import Path

import pytest

from service.cache_dir import require_writable, temp_folder
from service.processes.own_folder import FolderError, own_folder

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="has rights of another kind")
ANOTHER_USER = 54_321


def rights(folder: Path) -> int:
    """Return who may do what there."""
    return stat.S_IMODE(folder.stat().st_mode)


def test_a_new_folder_is_private_and_so_is_what_is_below(tmp_path: Path) -> None:
    """Whatever the umask allows."""
    before = os.umask(0o022)
    try:
        assert require_writable(tmp_path / "new" / "cache") == ""
        temp = temp_folder(tmp_path / "new" / "cache")
    finally:
        os.umask(before)
    assert rights(tmp_path / "new" / "cache") == rights(temp.path) == 0o700


def test_folders_below_that_an_earlier_version_made_are_closed(tmp_path: Path) -> None:
    """Where a volume belongs to somebody else, they alone keep others out."""
    before = os.umask(0)
    try:
        for name in ("versions", "locks", "locks/in-use"):
            (tmp_path / name).mkdir()
        require_writable(tmp_path)
        assert os.umask(0) == 0o077
    finally:
        os.umask(before)
    assert {rights(folder) for folder in tmp_path.rglob("*")} == {0o700}


@pytest.mark.parametrize("before", [0o777, 0o755, 0o770, 0o1777])
def test_a_folder_of_our_own_is_closed_to_others(tmp_path: Path, before: int) -> None:
    """One that an earlier version made has wider rights."""
    tmp_path.chmod(before)
    own_folder(tmp_path)
    assert rights(tmp_path) == 0o700


@pytest.mark.skipif(os.name != "posix" or os.geteuid() != 0, reason="only root gives folders away")
@pytest.mark.parametrize(("uid", "mode", "warned"), [(ANOTHER_USER, 0o755, True)])
def test_a_folder_of_somebody_else_is_used_with_a_warning(
    tmp_path: Path, uid: int, mode: int, *, warned: bool
) -> None:
    """A volume may belong to another user; who that is may change what is loaded."""
    tmp_path.chmod(mode)
    os.chown(tmp_path, uid, -1)
    assert bool(own_folder(tmp_path)) is warned
    assert rights(tmp_path) == mode


@pytest.mark.skipif(os.name != "posix" or os.geteuid() != 0, reason="only root gives folders away")
def test_a_folder_of_somebody_else_that_all_may_write_to_is_refused(tmp_path: Path) -> None:
    """Anyone on the machine could put a model there."""
    tmp_path.chmod(0o777)
    os.chown(tmp_path, ANOTHER_USER, -1)
    with pytest.raises(FolderError, match="is a folder of this user's own"):
        own_folder(tmp_path)


def test_a_folder_that_anyone_may_replace_is_warned_of(tmp_path: Path) -> None:
    """One who may write to the folder above can put another one in its place."""
    tmp_path.chmod(0o777)
    assert str(tmp_path) in own_folder(tmp_path / "cache")
    tmp_path.chmod(0o1777)
    assert own_folder(tmp_path / "cache") == ""
