import re
import tomllib
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).parents[2]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
GROUPS = PROJECT["dependency-groups"]
EXTRAS = PROJECT["project"]["optional-dependencies"]
# Both extras are part of what the demo's line installs.
RUNS = PROJECT["project"]["dependencies"] + EXTRAS["compiled"] + EXTRAS["environments"]
WANTED = {
    "requirements.lock": RUNS + GROUPS["build"],
    # What the Dockerfile installs has every extra.
    "requirements-image.lock": RUNS
    + GROUPS["build"]
    + [entry for extra in EXTRAS.values() for entry in extra],
    "requirements-dev.lock": RUNS
    + GROUPS["build"]
    + [entry for entry in GROUPS["dev"] if isinstance(entry, str)],
}
CLIENTS = sorted(
    file.relative_to(ROOT).as_posix() for file in (ROOT / "tests" / "clients").glob("*.txt")
)


def pins(lock: str) -> dict[str, set[str]]:
    """Return each locked package with its versions: markers may choose among several."""
    found: dict[str, set[str]] = {}
    text = (ROOT / lock).read_text(encoding="utf-8")
    for name, version in re.findall(r"^([\w.-]+)==([^\s;]+)", text, re.MULTILINE):
        found.setdefault(canonicalize_name(name), set()).add(version)
    return found


@pytest.mark.parametrize("lock", WANTED)
def test_the_lock_holds_what_pyproject_asks_for(lock: str) -> None:
    """Each requirement is pinned, at versions that it allows."""
    locked = pins(lock)
    for text in WANTED[lock]:
        requirement = Requirement(text)
        versions = locked[canonicalize_name(requirement.name)]
        assert all(requirement.specifier.contains(version) for version in versions), text


def test_the_build_backend_is_a_requirement_that_is_locked() -> None:
    """What builds the package is what the group `build` says."""
    assert set(PROJECT["build-system"]["requires"]) <= set(GROUPS["build"])


@pytest.mark.parametrize("lock", sorted(WANTED.keys() - {"requirements.lock"}))
def test_all_locks_agree(lock: str) -> None:
    """Neither developing nor an image changes a version that runs."""
    larger = pins(lock)
    assert {name: larger.get(name) for name in pins("requirements.lock")} == pins(
        "requirements.lock"
    )


@pytest.mark.parametrize("lock", [*WANTED, *CLIENTS])
def test_every_pin_has_hashes_and_no_address(lock: str) -> None:
    """No package index or file is named, and nothing comes without a hash."""
    text = (ROOT / lock).read_text(encoding="utf-8")
    assert "://" not in text
    assert "index" not in text.split("aio", 1)[0]
    blocks = re.split(
        r"^(?=\w)", re.sub(r"^#.*\n", "", text, flags=re.MULTILINE), flags=re.MULTILINE
    )
    assert all("--hash=sha256:" in block for block in blocks if block.strip())
