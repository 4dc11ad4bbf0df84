import os
from pathlib import Path

import pytest

from service.core.errors import StoreCorruptError
from service.core.versions import StoredVersion
from service.store.copy_out import FolderInUseError, copy_out
from tests.support.signed import FILES, stored, written


@pytest.fixture
def version(tmp_path: Path) -> StoredVersion:
    """Store a version of three files."""
    return stored(written(tmp_path / "fetched", FILES), tmp_path / "version")


def contents(folder: Path) -> dict[str, str]:
    """Return every file's content by its path."""
    return {
        path.relative_to(folder).as_posix(): path.read_text()
        for path in folder.rglob("*")
        if path.is_file()
    }


def test_a_folder_gets_the_files_and_nothing_else(version: StoredVersion, tmp_path: Path) -> None:
    """The folder is made where it is missing, and others may read all of it."""
    before = os.umask(0o077)
    try:
        brought = copy_out(version, tmp_path / "a" / "b")
    finally:
        os.umask(before)
    assert contents(tmp_path / "a" / "b") == FILES
    assert brought.digest == version.digest
    modes = {path: path.stat().st_mode & 0o777 for path in (tmp_path / "a").rglob("*")}
    assert {modes[path] for path in modes if path.is_file()} == {0o644}
    assert {modes[path] for path in modes if path.is_dir()} == {0o755}


def test_what_an_earlier_copy_brought_stays(version: StoredVersion, tmp_path: Path) -> None:
    """A copy that was cut off is completed, and its leftover goes."""
    folder = written(tmp_path / "models", {"model.pkl": "pickled", ".hotswap-fetch/file": "half"})
    kept = (folder / "model.pkl").stat().st_ino
    copy_out(version, folder)
    assert contents(folder) == FILES
    assert (folder / "model.pkl").stat().st_ino == kept


@pytest.mark.parametrize("there", [{"MLmodel": "another's"}, {"notes.txt": "mine"}])
def test_anything_else_is_left_alone(
    version: StoredVersion, tmp_path: Path, there: dict[str, str]
) -> None:
    """Nothing is added to a folder that has something else."""
    folder = written(tmp_path / "models", there)
    with pytest.raises(FolderInUseError, match="not of this version"):
        copy_out(version, folder)
    assert contents(folder) == there


def test_mlmodel_comes_last(version: StoredVersion, tmp_path: Path) -> None:
    """Whatever looks at the folder meanwhile finds no model in it before all of it is there."""
    folder, seen = tmp_path / "models", []

    def look() -> None:
        if folder.is_dir():
            seen.append((folder / "MLmodel").exists())
            assert not seen[-1] or contents(folder).keys() >= FILES.keys()

    copy_out(version, folder, look)
    assert seen.count(False) >= len(FILES)


def test_a_stored_file_that_has_changed_is_not_copied(
    version: StoredVersion, tmp_path: Path
) -> None:
    """What differs from what was recorded goes nowhere."""
    changed = version.path / "model.pkl"
    changed.chmod(0o600)
    changed.write_text("changed")
    with pytest.raises(StoreCorruptError):
        copy_out(version, tmp_path / "models")
    assert not (tmp_path / "models").exists()
