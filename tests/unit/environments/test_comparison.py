import sys

import pytest

from service.environments.comparison import compare, installed_version
from service.registry.inside.describing import requirement_lines

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


def test_what_is_installed_is_read_without_importing_it() -> None:
    """From its metadata."""
    assert installed_version("litestar")
    assert installed_version("no-such-thing") is None
    assert "import_linter" not in sys.modules
    assert installed_version("import-linter")
    assert "importlinter" not in sys.modules
