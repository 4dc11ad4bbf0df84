"""Every file of an environment, written down and compared."""

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from service.core.errors import EnvironmentNotBuiltError, EnvironmentRefusedError
from service.environments.inside.tree import check, record
from service.environments.messages import CheckRequest, Recorded, RecordRequest


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """Make a folder with files, a link to a program, and a folder that is a link."""
    root = tmp_path / "venv"
    (root / "lib" / "deep").mkdir(parents=True)
    (root / "lib" / "deep" / "a.py").write_text("a = 1\n")
    (root / "lib" / "b.py").write_text("b = 1\n")
    (root / "python").symlink_to("/bin/sh")
    (root / "lib64").symlink_to("lib")
    return root


def recorded(root: Path) -> Recorded:
    """Write down what is in the folder."""
    return record(RecordRequest(str(root), str(root.parent / "manifest.json")))


def difference(root: Path, digest: str, *, fully: bool = False) -> str:
    """Compare the folder with what was written down."""
    manifest = str(root.parent / "manifest.json")
    return check(CheckRequest(str(root), manifest, digest, fully)).difference


def test_what_was_written_down_is_what_is_there(root: Path) -> None:
    """A folder that is a link counts as a link, and is not gone into."""
    found = recorded(root)
    assert (found.files, found.size_bytes) == (4, 12)
    assert difference(root, found.digest) == ""
    assert difference(root, found.digest, fully=True) == ""


def _relink(root: Path) -> None:
    (root / "python").unlink()
    (root / "python").symlink_to("/bin/cat")


def _dangle(root: Path) -> None:
    (root / "lib64").unlink()
    (root / "lib64").symlink_to("nowhere")


@pytest.mark.parametrize(
    ("damage", "told"),
    [
        (lambda root: (root / "lib" / "c.py").touch(), "lib/c.py was not there"),
        (lambda root: (root / "lib" / "b.py").unlink(), "lib/b.py is missing"),
        (lambda root: (root / "lib" / "b.py").write_text("b = 22\n"), "lib/b.py has changed"),
        (lambda root: os.utime(root / "lib" / "b.py"), "lib/b.py has changed"),
        (_relink, "python has other content"),
        (_dangle, "lib64 has other content"),
        (lambda root: (root.parent / "manifest.json").write_text("[]"), "its manifest has changed"),
        (lambda root: (root.parent / "manifest.json").unlink(), "its manifest can't be read"),
        (lambda root: root.rename(root.parent / "elsewhere"), "is missing"),
    ],
)
def test_a_difference_is_named(root: Path, damage: Callable[[Path], None], told: str) -> None:
    """By sizes and times alone, without reading a file."""
    found = recorded(root)
    damage(root)
    assert told in difference(root, found.digest)


def test_what_keeps_size_and_time_is_found_by_reading(root: Path) -> None:
    """That is done at a start."""
    found = recorded(root)
    file = root / "lib" / "b.py"
    before = file.stat()
    file.write_text("b = 2\n")
    os.utime(file, ns=(before.st_atime_ns, before.st_mtime_ns))
    assert difference(root, found.digest) == ""
    assert "lib/b.py has other content" in difference(root, found.digest, fully=True)


def test_a_file_with_a_second_name_is_no_copy(root: Path) -> None:
    """What writes to it would write elsewhere, too."""
    (root.parent / "cache.py").hardlink_to(root / "lib" / "b.py")
    with pytest.raises(EnvironmentNotBuiltError, match=r"lib/b\.py was linked"):
        recorded(root)


def test_a_pipe_is_never_waited_for(root: Path) -> None:
    """Nor written down: whatever took its place would be taken for it. One in a file's is seen."""
    found = recorded(root)
    (root / "lib" / "b.py").unlink()
    os.mkfifo(root / "lib" / "b.py")
    assert "lib/b.py has changed" in difference(root, found.digest, fully=True)
    with pytest.raises(EnvironmentRefusedError, match=r"lib/b\.py is neither a file nor a link"):
        recorded(root)
