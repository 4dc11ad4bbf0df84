import os
import sys
from pathlib import Path

import pytest

from service.core.errors import StoreCorruptError
from service.store import manifest


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """Make a folder of two files, one in a folder of its own."""
    root = tmp_path / "model"
    (root / "deep").mkdir(parents=True)
    (root / "MLmodel").write_text("flavors: {}")
    (root / "deep" / "weights.bin").write_bytes(b"\x00" * 100)
    return root


def test_a_manifest_names_every_file_by_its_posix_path_size_and_hash(root: Path) -> None:
    """Entries are ordered by path."""
    built = manifest.build(root)
    assert [(entry.path, entry.size_bytes) for entry in built.files] == [
        ("MLmodel", 11),
        ("deep/weights.bin", 100),
    ]
    assert built.size_bytes == 111
    assert len(built.digest) == 64


def test_the_same_files_give_the_same_digest_anywhere(root: Path, tmp_path: Path) -> None:
    """The digest depends on content and relative paths alone."""
    digest = manifest.build(root).digest
    assert manifest.build(root.rename(tmp_path / "elsewhere")).digest == digest


def test_what_is_written_is_read_back(root: Path, tmp_path: Path) -> None:
    """JSON and back is the same manifest."""
    built = manifest.build(root)
    manifest.write(tmp_path / "manifest.json", built)
    assert manifest.read(tmp_path / "manifest.json") == built


@pytest.mark.parametrize("content", [b"", b"{", b"[]", b"\xff", b'{"digest":"0","files":[]}'])
def test_a_damaged_manifest_is_corruption(tmp_path: Path, content: bytes) -> None:
    """Neither half a file nor one with another digest is believed."""
    (tmp_path / "manifest.json").write_bytes(content)
    with pytest.raises(StoreCorruptError, match=r"manifest\.json"):
        manifest.read(tmp_path / "manifest.json")


def test_untouched_files_verify(root: Path) -> None:
    """Nothing is raised where nothing changed."""
    manifest.verify(root, manifest.build(root))


def test_a_missing_file_is_named(root: Path) -> None:
    """Missing."""
    built = manifest.build(root)
    (root / "deep" / "weights.bin").unlink()
    with pytest.raises(StoreCorruptError, match=r"deep/weights\.bin is missing"):
        manifest.verify(root, built)


def test_a_missing_folder_is_corruption(root: Path, tmp_path: Path) -> None:
    """Even where the manifest is empty."""
    with pytest.raises(StoreCorruptError, match="is missing"):
        manifest.verify(tmp_path / "nowhere", manifest.build(root))


def test_an_extra_file_is_named(root: Path) -> None:
    """Bytecode that someone left, say."""
    built = manifest.build(root)
    (root / "deep" / "__pycache__").mkdir()
    (root / "deep" / "__pycache__" / "a.pyc").touch()
    with pytest.raises(StoreCorruptError, match=r"deep/__pycache__/a\.pyc .* was not there"):
        manifest.verify(root, built)


@pytest.mark.parametrize("content", [b"\x00" * 99, b"\x00" * 99 + b"\x01"])
def test_a_changed_file_is_named(root: Path, content: bytes) -> None:
    """Cut short, or of the same length with another byte."""
    built = manifest.build(root)
    (root / "deep" / "weights.bin").write_bytes(content)
    with pytest.raises(StoreCorruptError, match=r"deep/weights\.bin .* has changed"):
        manifest.verify(root, built)


def test_the_whole_check_before_a_load_needs_the_recorded_digest(root: Path) -> None:
    """A manifest that was made anew for other files is not the one that was recorded."""
    built = manifest.build(root)
    manifest.write(root.parent / manifest.MANIFEST_NAME, built)
    manifest.verify_stored(root, built.digest)
    (root / "MLmodel").write_text("other")
    manifest.write(root.parent / manifest.MANIFEST_NAME, manifest.build(root))
    with pytest.raises(StoreCorruptError, match="not the one that was recorded"):
        manifest.verify_stored(root, built.digest)


@pytest.mark.skipif(sys.platform == "win32", reason="links need a privilege there")
def test_a_link_that_leads_out_is_refused(root: Path, tmp_path: Path) -> None:
    """To a file, to a folder, and from within a folder."""
    (tmp_path / "secret").write_text("s")
    for link, target in (
        (root / "file", tmp_path / "secret"),
        (root / "folder", tmp_path),
        (root / "deep" / "up", Path("../../secret")),
    ):
        link.symlink_to(target)
        with pytest.raises(StoreCorruptError, match="leads out of it"):
            manifest.build(root)
        link.unlink()


@pytest.mark.skipif(sys.platform == "win32", reason="links need a privilege there")
def test_a_link_within_the_folder_counts_as_its_content(root: Path) -> None:
    """Some stores keep one file for equal contents."""
    (root / "same").symlink_to("MLmodel")
    assert [entry.path for entry in manifest.build(root).files][-1] == "same"


@pytest.mark.skipif(sys.platform == "win32", reason="named pipes are elsewhere")
def test_a_pipe_among_the_files_is_refused(tmp_path: Path) -> None:
    """To read it would wait for ever."""
    os.mkfifo(tmp_path / "weights")
    with pytest.raises(StoreCorruptError, match="no regular file"):
        manifest.build(tmp_path)
