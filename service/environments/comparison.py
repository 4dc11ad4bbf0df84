"""What a version needs, compared with what is installed in the service's own environment."""

import platform
from collections.abc import Callable, Iterable
from importlib import metadata
from typing import NamedTuple

from packaging.markers import UndefinedEnvironmentName
from packaging.requirements import InvalidRequirement, Requirement
from packaging.version import InvalidVersion

from service.core.described import Described
from service.core.text import bounded

Installed = Callable[[str], str | None]
"""Returns the installed version of a distribution, None where there is none."""

_SHOWN_CHARACTERS = 120


class Comparison(NamedTuple):
    """What was compared: how many things, what differs, and the lines that say nothing of it."""

    compared: int
    differences: list[str]
    unread: list[str]


def compare(
    wanted_python: str, requirements: Iterable[str], python: str, installed: Installed
) -> Comparison:
    """Compare a version's Python ('' for unknown) and requirements with what is here.

    Of Python major and minor count, as for MLflow (`mlflow/pyfunc/utils`, 3.17).
    """
    compared, differences, unread = 0, [], []
    if wanted_python:
        compared += 1
        if _minor(wanted_python) != _minor(python):
            differences.append(f"Python {wanted_python} wanted, {python} found")
    for line in requirements:
        requirement = _parsed(line)
        if requirement is None:
            unread.append(bounded(line, _SHOWN_CHARACTERS))
            continue
        if not _is_for_here(requirement):
            continue
        compared += 1
        found = installed(requirement.name)
        if found is None or not _meets(requirement, found):
            wanted = (
                f"{requirement.name}{f' {requirement.specifier}' * bool(requirement.specifier)}"
            )
            differences.append(
                f"{bounded(wanted, _SHOWN_CHARACTERS)} wanted, {found or 'none'} found"
            )
    return Comparison(compared, differences, unread)


def installed_version(name: str) -> str | None:
    """Return the installed version of a distribution, without importing it."""
    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return None


def compare_here(described: Described) -> Comparison:
    """Compare what a version says of itself with what is installed here. This reads from the disk.

    What of it was not read is one more line that says nothing.
    """
    found = compare(
        described.python, described.requirements, platform.python_version(), installed_version
    )
    if described.left_out:
        found.unread.append(f"{described.left_out} more lines")
    return found


def _parsed(line: str) -> Requirement | None:
    """Read a line, None where it is no requirement."""
    try:
        return Requirement(line)
    except (InvalidRequirement, ValueError, RecursionError):
        return None


def _is_for_here(requirement: Requirement) -> bool:
    """Whether a requirement is one on this machine, as its marker says."""
    if requirement.marker is None:
        return True
    try:
        return requirement.marker.evaluate()
    except (UndefinedEnvironmentName, ValueError, RecursionError):
        return True  # said of something that is not known here


def _minor(version: str) -> list[str]:
    return version.split(".", 2)[:2]


def _meets(requirement: Requirement, found: str) -> bool:
    try:
        return requirement.specifier.contains(found, prereleases=True)
    except (InvalidVersion, ValueError, RecursionError):
        return False
