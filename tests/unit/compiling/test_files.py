"""Where compiled predictors are kept: under what they depend on, whole, and as they were made."""

from pathlib import Path

import pytest

from service.compiling.files import CompiledFiles, fingerprint, machine
from service.core.errors import StoreCorruptError
from service.core.versions import StoredVersion
from service.store import manifest
from service.store.compiled_files import FILES, verified
from tests.support.fake_source import a_version

STORED = StoredVersion(a_version(1), Path("nowhere"), "d1gest")


def files_in(folder: Path, rtol: float = 1e-12) -> CompiledFiles:
    """Give the folders of a service."""
    aside = folder / "aside"
    aside.mkdir(exist_ok=True)
    return CompiledFiles(folder / "compiled", aside, rtol)


def fill(folder: Path, content: str = "graph") -> Path:
    """Write what a compiler would."""
    (folder / FILES).mkdir(parents=True)
    (folder / FILES / "report.json").write_text(content)
    manifest.write(folder / manifest.MANIFEST_NAME, manifest.build(folder / FILES))
    return folder


def test_all_that_the_files_depend_on_is_in_their_name() -> None:
    """Content, threads, tolerance, libraries and the machine: another one is another folder."""
    names = {
        fingerprint(machine(), "d1gest", 2, 1e-12),
        fingerprint(machine(), "another", 2, 1e-12),
        fingerprint(machine(), "d1gest", 1, 1e-12),
        fingerprint(machine(), "d1gest", 2, 1e-6),
        fingerprint(machine(installed=lambda name: f"{name} 99"), "d1gest", 2, 1e-12),
        fingerprint(machine(cpu=lambda: "another kind of CPU"), "d1gest", 2, 1e-12),
    }
    assert len(names) == 6
    assert fingerprint(machine(), "d1gest", 2, 1e-12) == fingerprint(machine(), "d1gest", 2, 1e-12)


def test_what_is_kept_is_found_and_verified(tmp_path: Path) -> None:
    """A filled folder stands in its place, and nothing is left aside."""
    files = files_in(tmp_path)
    place = files.place(STORED, 2)
    assert place.parent == tmp_path / "compiled" / STORED.version.key
    files.keep(fill(files.new()), place)
    assert verified(place) == place / FILES
    assert list((tmp_path / "aside").iterdir()) == []


def test_what_is_kept_again_replaces_what_was_there(tmp_path: Path) -> None:
    """A damaged folder is no obstacle."""
    files = files_in(tmp_path)
    place = files.place(STORED, 2)
    files.keep(fill(files.new(), "old"), place)
    (place / FILES / "report.json").unlink()
    files.keep(fill(files.new(), "new"), place)
    assert (verified(place) / "report.json").read_text() == "new"
    assert list((tmp_path / "aside").iterdir()) == []


def test_what_another_service_has_kept_meanwhile_stays(tmp_path: Path) -> None:
    """Its workers may be reading it just now."""
    files = files_in(tmp_path)
    place = files.place(STORED, 2)
    files.keep(fill(files.new(), "theirs"), place)
    files.keep(fill(files.new(), "ours"), place)
    assert (verified(place) / "report.json").read_text() == "theirs"


@pytest.mark.parametrize("damage", ["changed", "added", "removed", "no manifest"])
def test_files_that_are_not_as_they_were_made_are_not_opened(tmp_path: Path, damage: str) -> None:
    """Whatever became of them."""
    files = files_in(tmp_path)
    place = files.place(STORED, 2)
    files.keep(fill(files.new()), place)
    match damage:
        case "changed":
            (place / FILES / "report.json").write_text("grapg")
        case "added":
            (place / FILES / "more").touch()
        case "removed":
            (place / FILES / "report.json").unlink()
        case _:
            (place / manifest.MANIFEST_NAME).unlink()
    with pytest.raises(StoreCorruptError):
        verified(place)


def test_only_a_few_folders_of_a_version_are_kept(tmp_path: Path) -> None:
    """Each renewal of a library would leave one more."""
    files = files_in(tmp_path)
    for threads in range(1, 13):
        files.keep(fill(files.new()), files.place(STORED, threads))
    left = list((tmp_path / "compiled" / STORED.version.key).iterdir())
    assert len(left) == 8
    assert files.place(STORED, 12) in left
