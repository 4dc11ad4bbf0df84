"""A worker's own folder: whatever a model does in it, the store stays as it was."""

import os
import shutil
import sys
from pathlib import Path

import pytest

from service.core.errors import FetchFailedError
from service.store import manifest
from service.workers.inside import model_folder as model_folder_module
from service.workers.inside.model_folder import ModelFolder, told

LARGE = 2 * model_folder_module.COPIED_BYTES


@pytest.fixture
def stored(tmp_path: Path) -> Path:
    """Make a version's folder with a small and a large file."""
    root = tmp_path / "stored"
    (root / "artifacts").mkdir(parents=True)
    (root / "MLmodel").write_text("small")
    (root / "artifacts" / "weights").write_bytes(bytes(LARGE))
    return root


def _add(folder: Path) -> None:
    (folder / "artifacts" / "cache.bin").write_text("derived")


def _add_folder(folder: Path) -> None:
    (folder / "__pycache__").mkdir()


def _change_small(folder: Path) -> None:
    with (folder / "MLmodel").open("r+") as file:
        file.write("SMALL")


def _replace_large(folder: Path) -> None:
    (folder / "new").write_bytes(bytes(LARGE))
    (folder / "new").replace(folder / "artifacts" / "weights")


def _delete(folder: Path) -> None:
    shutil.rmtree(folder / "artifacts")


@pytest.mark.parametrize(
    ("write", "path"),
    [
        (_add, "artifacts/cache.bin"),
        (_add_folder, "__pycache__"),
        (_change_small, "MLmodel"),
        (_replace_large, "artifacts/weights"),
        (_delete, "artifacts"),
    ],
)
def test_what_a_model_does_does_not_reach_the_store(
    stored: Path, tmp_path: Path, write: object, path: str
) -> None:
    """It is told, by its path."""
    recorded = manifest.build(stored)
    folder = ModelFolder(stored, tmp_path / "own")
    assert folder.changes == ()
    assert manifest.build(folder.path) == recorded
    assert callable(write)
    write(folder.path)
    assert path in folder.changes
    assert path in told(folder.changes)
    assert not folder.has_reached_the_store
    manifest.verify(stored, recorded)


def _change_large(folder: Path) -> None:
    with (folder / "artifacts" / "weights").open("r+b") as file:
        file.write(b"changed")


@pytest.mark.parametrize("copied", [False, True])
def test_a_large_file_that_is_changed_in_place(stored: Path, tmp_path: Path, copied: bool) -> None:  # noqa: FBT001 - a case
    """It reaches the store where it is shared, which is seen; not where all files are copied."""
    recorded = manifest.build(stored)
    folder = ModelFolder(stored, tmp_path / "own", copied=copied)
    _change_large(folder.path)
    assert folder.changes == ("artifacts/weights",)
    assert folder.has_reached_the_store == (manifest.build(stored) != recorded)
    if copied:
        assert not folder.has_reached_the_store


def test_a_large_file_takes_no_room(stored: Path, tmp_path: Path) -> None:
    """Unless it must be copied: the same blocks, or the same file."""
    folder = ModelFolder(stored, tmp_path / "own")
    original = stored / "artifacts" / "weights"
    is_linked = (folder.path / "artifacts" / "weights").samefile(original)
    assert is_linked or folder.clones


@pytest.mark.skipif(sys.platform == "win32", reason="makes a link")
def test_a_link_within_the_version_becomes_a_file(stored: Path, tmp_path: Path) -> None:
    """A model that writes there would write into the store."""
    (stored / "link").symlink_to("MLmodel")
    folder = ModelFolder(stored, tmp_path / "own")
    assert not (folder.path / "link").is_symlink()
    assert (folder.path / "link").read_text() == "small"


def test_a_full_disk_says_nothing_of_the_version(
    stored: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nothing stays of the folder, and what is raised is tried again later."""

    def fail(*_: object) -> None:
        raise OSError(28, os.strerror(28))

    monkeypatch.setattr(shutil, "copyfile", fail)
    with pytest.raises(FetchFailedError, match="No space left on device"):
        ModelFolder(stored, tmp_path / "own", clones=False)
    assert not (tmp_path / "own").exists()
