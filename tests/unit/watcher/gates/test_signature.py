from collections.abc import Sequence
from pathlib import Path

import pytest

from service.core.errors import FetchFailedError
from service.core.verdicts import Outcome
from service.core.versions import ModelVersion, StoredVersion
from service.registry.messages import FindSignaturesReply
from service.signing.messages import VerifyReply, VerifyRequest
from service.watcher.gates.signature import SignatureGate
from tests.support.fake_source import a_version

GOOD = b"good"


class Registry:
    """Has signatures of a version, or is down."""

    def __init__(self, *signatures: bytes, refused: str = "") -> None:
        self.signatures = signatures
        self.refused = refused
        self.is_down = False
        self.asked = 0
        self.folders: list[Path] = []

    async def find(self, _: ModelVersion, folder: Path) -> FindSignaturesReply:
        """Write them into a folder."""
        self.asked += 1
        self.folders.append(folder)
        if self.is_down:
            raise FetchFailedError("down")
        return FindSignaturesReply(self._write(folder), "model.sig there", self.refused)

    def _write(self, folder: Path) -> tuple[str, ...]:
        folder.mkdir()
        paths = []
        for number, content in enumerate(self.signatures):
            paths.append(folder / f"{number}.sig")
            paths[-1].write_bytes(content)
        return tuple(map(str, paths))


async def verify(request: VerifyRequest) -> VerifyReply:
    """Take what says that it is good."""
    refusal = ""
    for path in map(Path, request.signatures):
        if path.exists():
            if path.read_bytes() == GOOD:
                return VerifyReply("ci.pem", str(path), 2)
            refusal = f"{path.read_text()} is wrong"
    return VerifyReply(refusal=refusal)


@pytest.fixture
def stored(tmp_path: Path) -> StoredVersion:
    """Give a version on disk."""
    path = tmp_path / "version" / "model"
    path.mkdir(parents=True)
    return StoredVersion(a_version(1), path, "digest")


def gate(registry: Registry, tmp_path: Path) -> SignatureGate:
    """Return the gate."""
    return SignatureGate(tmp_path / "keys", registry.find, verify, tmp_path)


async def test_a_signature_that_came_with_the_artifacts_is_enough(
    stored: StoredVersion, tmp_path: Path
) -> None:
    """Nobody is asked for another."""
    (stored.path / "model.sig").write_bytes(GOOD)
    registry = Registry()
    found = await gate(registry, tmp_path).check(stored)
    assert (found.outcome, found.reason) == (Outcome.PASS, "2 files, signed by ci.pem")
    assert (found.signed_by, registry.asked) == ("ci.pem", 0)


async def test_one_that_came_later_is_fetched_and_kept(
    stored: StoredVersion, tmp_path: Path
) -> None:
    """The next time it is there without the registry; the artifacts stay as they were."""
    (stored.path / "model.sig").write_bytes(b"an older one")
    registry = Registry(b"a bad one", GOOD)
    assert (await gate(registry, tmp_path).check(stored)).outcome is Outcome.PASS
    registry.is_down = True
    assert (await gate(registry, tmp_path).check(stored)).outcome is Outcome.PASS
    assert registry.asked == 1
    assert (stored.path / "model.sig").read_bytes() == b"an older one"
    assert not registry.folders[0].exists()


@pytest.mark.parametrize(
    ("beside", "found", "refused", "reason"),
    [
        (b"", (), "", "it is not signed: there is no model.sig there (REQUIRE_SIGNED)"),
        (b"old", (), "", "old is wrong (REQUIRE_SIGNED)"),
        (b"old", (b"new",), "", "new is wrong (REQUIRE_SIGNED)"),
        (b"", (), "it is too large", "it is too large (REQUIRE_SIGNED)"),
    ],
)
async def test_what_has_no_good_signature_is_refused(
    stored: StoredVersion,
    tmp_path: Path,
    beside: bytes,
    found: Sequence[bytes],
    refused: str,
    reason: str,
) -> None:
    """With what is wrong with the newest one."""
    if beside:
        (stored.path / "model.sig").write_bytes(beside)
    registry = Registry(*found, refused=refused)
    finding = await gate(registry, tmp_path).check(stored)
    assert (finding.outcome, finding.reason, finding.signed_by) == (Outcome.REFUSE, reason, "")
    assert not (stored.path.parent / "model.sig").exists()


async def test_a_registry_that_is_down_decides_nothing(
    stored: StoredVersion, tmp_path: Path
) -> None:
    """The rollout tries again."""
    registry = Registry()
    registry.is_down = True
    with pytest.raises(FetchFailedError):
        await gate(registry, tmp_path).check(stored)
