import platform
from pathlib import Path
from typing import Literal

import pytest

from service.core.described import Described
from service.core.verdicts import Outcome
from service.core.versions import StoredVersion
from service.registry.inside.describing import describe
from service.registry.messages import DescribeRequest
from service.watcher.gates.environment import EnvironmentGate
from service.watcher.gates.gate import Finding
from tests.support.fake_source import a_version


async def test_a_long_list_is_told_by_its_beginning(tmp_path: Path) -> None:
    """And says how much more there is."""
    requirements = "\n".join(f"no-such-{number}" for number in range(1_500))
    found = await gate("refuse").check(a_version_on_disk(tmp_path, HERE, requirements))
    assert found.outcome is Outcome.REFUSE
    assert "no-such-19 wanted, none found; and 980 more" in found.reason
    assert "500 more lines" in found.reason
    assert len(found.reason) < 2_000


async def test_what_is_too_much_to_be_read_is_refused(tmp_path: Path) -> None:
    """In a child and within limits: aliases stand for more than any file could hold."""
    stored = a_version_on_disk(tmp_path, None, None)
    bomb = "a0: &a0 [x]\n" + "".join(
        f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 10)}]\n" for n in range(1, 12)
    )
    (tmp_path / "MLmodel").write_text(
        f"{bomb}flavors: {{python_function: {{python_version: *a11}}}}\n", "utf-8"
    )
    found = await gate("warn").check(stored)
    assert found.outcome is Outcome.REFUSE
    assert "500000 values" in found.reason


async def describe_here(stored: StoredVersion) -> Described:
    """Read a version's files in this process."""
    return describe(DescribeRequest(str(stored.path)))


def gate(on_mismatch: Literal["warn", "refuse"]) -> EnvironmentGate:
    """Return the gate as it was set."""
    return EnvironmentGate(on_mismatch, describe_here)


def a_version_on_disk(folder: Path, python: str | None, requirements: str | None) -> StoredVersion:
    """Return a version on disk that was logged with these."""
    named = {} if python is None else {"python_version": python}
    (folder / "MLmodel").write_text(f"flavors: {{python_function: {named}}}\n", "utf-8")
    if requirements is not None:
        (folder / "requirements.txt").write_text(requirements, "utf-8")

    return StoredVersion(a_version(1), folder, "digest")


HERE = platform.python_version()


async def test_a_difference_warns_or_refuses_as_was_set(tmp_path: Path) -> None:
    """The reason is the same, and names the setting."""
    stored = a_version_on_disk(tmp_path, HERE, "no-such-thing==1\nmsgspec")
    told = "no-such-thing ==1 wanted, none found"
    assert await gate("warn").check(stored) == Finding(
        Outcome.PASS, f"warning: {told} (ON_MISMATCH=warn)"
    )
    assert await gate("refuse").check(stored) == Finding(
        Outcome.REFUSE, f"{told}: install what is wanted (ON_MISMATCH)"
    )


async def test_what_fits_passes_and_what_says_nothing_is_skipped(tmp_path: Path) -> None:
    """Whatever was set."""
    strict = gate("refuse")
    assert await strict.check(a_version_on_disk(tmp_path, None, None)) == Finding(
        Outcome.SKIP, "the version names nothing that it needs"
    )
    assert await strict.check(
        a_version_on_disk(tmp_path, HERE, "msgspec\n-c limits.txt")
    ) == Finding(Outcome.PASS, "all 2 that it needs are installed; not compared: -c limits.txt")


@pytest.mark.parametrize("content", ["{", "- 1", "flavors: 3", ""])
async def test_a_file_that_cannot_be_read_is_left_to_the_load_gate(
    tmp_path: Path, content: str
) -> None:
    """It names no Python."""
    stored = a_version_on_disk(tmp_path, None, "msgspec")
    (tmp_path / "MLmodel").write_text(content, "utf-8")
    assert (await gate("refuse").check(stored)).outcome is Outcome.PASS
