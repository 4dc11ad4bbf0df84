import platform
import sys
from pathlib import Path
from typing import Literal

import pytest

from service.core.described import Described
from service.core.verdicts import Outcome
from service.core.versions import StoredVersion
from service.registry.inside.describing import describe, requirement_lines
from service.registry.messages import DescribeRequest
from service.watcher.gates.environment import EnvironmentGate, compare, installed_version
from service.watcher.gates.gate import Finding
from tests.support.fake_source import a_version

INSTALLED = {"numpy": "2.3.1", "scikit-learn": "1.7.2", "torch": "2.1.0+cpu", "odd": "dev"}


def differences(requirements: str, python: str = "") -> list[str]:
    """Return what differs from a Python 3.11.9 with INSTALLED."""
    lines = requirement_lines(requirements)
    return compare(python, lines, "3.11.9", INSTALLED.get).differences


@pytest.mark.parametrize(
    ("requirements", "found"),
    [
        ("", []),
        ("numpy==2.3.1", []),
        ("numpy", []),
        ("numpy>=2,<3", []),
        ("numpy[extra]==2.3.1", []),
        ("torch==2.1.0", []),
        ("numpy==2.3.*  # why", []),
        ("numpy==2.3.1 --hash=sha256:00", []),
        ("numpy==2.3.1 \\\n    --hash=sha256:00", []),
        ('absent==1; python_version < "3"', []),
        ("numpy==2.3.0", ["numpy ==2.3.0 wanted, 2.3.1 found"]),
        ("torch==2.1.0+cu118", ["torch ==2.1.0+cu118 wanted, 2.1.0+cpu found"]),
        ("absent==1", ["absent ==1 wanted, none found"]),
        ("absent", ["absent wanted, none found"]),
        ("odd>=1", ["odd >=1 wanted, dev found"]),
        (
            "scikit-learn==1.5.0\nnumpy==2.3.1\nabsent",
            ["scikit-learn ==1.5.0 wanted, 1.7.2 found", "absent wanted, none found"],
        ),
    ],
)
def test_each_package_is_named_with_what_is_wanted_and_found(
    requirements: str, found: list[str]
) -> None:
    """A version that meets its requirement is no difference."""
    assert differences(requirements) == found


@pytest.mark.parametrize(
    ("python", "found"),
    [
        ("", []),
        ("3.11.2", []),
        ("3.11", []),
        ("3.10.4", ["Python 3.10.4 wanted, 3.11.9 found"]),
        ("3.1.1", ["Python 3.1.1 wanted, 3.11.9 found"]),
    ],
)
def test_python_counts_by_major_and_minor(python: str, found: list[str]) -> None:
    """A patch release changes no model."""
    assert differences("", python) == found


@pytest.mark.parametrize(
    "line", ["-r more.txt", "--extra-index-url somewhere", "code/mine-1.0-py3-none-any.whl"]
)
def test_what_is_no_requirement_is_told_and_not_compared(line: str) -> None:
    """Options and paths say nothing of what is installed."""
    lines = requirement_lines(f"{line}\nnumpy")
    assert compare("", lines, "3.11.9", INSTALLED.get) == (1, [], [line])


@pytest.mark.parametrize(
    "line",
    [
        "numpy; " + "(" * 400,
        'numpy; colour == "red"',
        "numpy==" + "1" * 480,
        "numpy" + ">=1," * 120,
        "x" * 200_000,
        '"' * 500,
    ],
)
def test_no_line_breaks_the_comparison(line: str) -> None:
    """However deep or long: it differs, or is not compared, and is told in few words."""
    found = compare("", requirement_lines(line), "3.11.9", INSTALLED.get)
    assert sum(map(len, [*found.differences, *found.unread])) < 1_000


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


def test_what_is_installed_is_read_without_importing_it() -> None:
    """From its metadata."""
    assert installed_version("litestar")
    assert installed_version("no-such-thing") is None
    assert "import_linter" not in sys.modules
    assert installed_version("import-linter")
    assert "importlinter" not in sys.modules


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
