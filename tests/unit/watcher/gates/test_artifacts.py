from pathlib import Path

import pytest

from service.core.errors import StoreCorruptError
from service.core.verdicts import Outcome
from service.core.versions import StoredVersion
from service.store import manifest
from service.watcher.gates.artifacts import ArtifactsGate, readable_size
from tests.support.fake_source import a_version


def a_version_on_disk(folder: Path, digest: str = "") -> StoredVersion:
    """Return a version on disk as the store leaves it; its digest may be another's."""
    model = folder / "model"
    model.mkdir()
    (model / "MLmodel").write_bytes(b"x" * 1500)
    (model / "data").write_bytes(b"y" * 500)
    recorded = manifest.build(model)
    manifest.write(folder / manifest.MANIFEST_NAME, recorded)

    return StoredVersion(a_version(1), model, digest or recorded.digest)


async def test_files_bytes_and_digest_are_told(tmp_path: Path) -> None:
    """So that two people can tell whether they speak of the same version."""
    stored = a_version_on_disk(tmp_path)
    found = await ArtifactsGate().check(stored)
    assert found.outcome is Outcome.PASS
    assert found.reason.startswith("2 files, 2 kB, complete")
    assert found.reason.endswith(stored.digest[:12])


async def test_another_record_says_nothing_of_the_version(tmp_path: Path) -> None:
    """It is raised, so that the store fetches it again."""
    with pytest.raises(StoreCorruptError):
        await ArtifactsGate().check(a_version_on_disk(tmp_path, "another"))
    (tmp_path / manifest.MANIFEST_NAME).unlink()
    (tmp_path / "model").rename(tmp_path / "old")
    stored = a_version_on_disk(tmp_path)
    (tmp_path / manifest.MANIFEST_NAME).unlink()
    with pytest.raises(StoreCorruptError):
        await ArtifactsGate().check(stored)


@pytest.mark.parametrize(
    ("size_bytes", "text"),
    [(0, "0 bytes"), (999, "999 bytes"), (1234, "1.23 kB"), (5e8, "500 MB"), (2.5e10, "25 GB")],
)
def test_sizes_are_written_as_people_do(size_bytes: float, text: str) -> None:
    """Three digits and a unit."""
    assert readable_size(size_bytes) == text
