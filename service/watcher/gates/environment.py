"""The gate that compares what a version was logged with and what is installed here."""

import platform
from collections.abc import Awaitable, Callable, Iterable
from importlib import metadata
from typing import Literal, NamedTuple

import anyio.to_thread
from packaging.markers import UndefinedEnvironmentName
from packaging.requirements import InvalidRequirement, Requirement
from packaging.version import InvalidVersion

from service.core.described import Described
from service.core.text import bounded
from service.core.verdicts import Outcome
from service.core.versions import StoredVersion
from service.watcher.gates.gate import Finding

Installed = Callable[[str], str | None]
"""Returns the installed version of a distribution, None where there is none."""

_SHOWN = 20
"""A list shows this many sentences, and says how many more there are."""
_SHOWN_CHARACTERS = 120


class Comparison(NamedTuple):
    """What was compared: how many things, what differs, and the lines that say nothing of it."""

    compared: int
    differences: list[str]
    unread: list[str]


class EnvironmentGate:
    """Its Python and its requirements are what is installed, or ON_MISMATCH=warn.

    MLflow itself only logs such differences, and from a worker nobody sees that.
    """

    name = "environment"

    def __init__(
        self,
        on_mismatch: Literal["warn", "refuse"],
        describe: Callable[[StoredVersion], Awaitable[Described]],
    ) -> None:
        self._on_mismatch = on_mismatch
        self._describe = describe

    async def check(self, stored: StoredVersion) -> Finding:
        """Name each package that differs, what is wanted and what was found."""
        described = await self._describe(stored)
        if described.refusal:
            return Finding(Outcome.REFUSE, described.refusal)
        compared, differences, unread = await anyio.to_thread.run_sync(_compare_here, described)
        if described.left_out:
            unread.append(f"{described.left_out} more lines")
        also = f"; not compared: {_listed(unread, ', ')}" if unread else ""
        if differences:
            told = f"{_listed(differences, '; ')}{also}"
            if self._on_mismatch == "refuse":
                return Finding(Outcome.REFUSE, f"{told}: install what is wanted (ON_MISMATCH)")
            return Finding(Outcome.PASS, f"warning: {told} (ON_MISMATCH=warn)")
        if not compared:
            return Finding(Outcome.SKIP, f"the version names nothing that it needs{also}")
        return Finding(Outcome.PASS, f"all {compared} that it needs are installed{also}")


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


def _compare_here(described: Described) -> Comparison:
    return compare(
        described.python, described.requirements, platform.python_version(), installed_version
    )


def _listed(sentences: list[str], between: str) -> str:
    more = len(sentences) - _SHOWN
    return between.join([*sentences[:_SHOWN], *([f"and {more} more"] if more > 0 else [])])


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
