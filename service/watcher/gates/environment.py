"""The gate that compares what a version was logged with and what is installed here."""

import platform
from collections.abc import Callable, Iterator
from importlib import metadata
from pathlib import Path
from typing import Literal, NamedTuple

import anyio.to_thread
import yaml
from packaging.requirements import InvalidRequirement, Requirement
from packaging.version import InvalidVersion

from service.core.mlmodel import read_mlmodel
from service.core.verdicts import Outcome
from service.watcher.gates.gate import Candidate, Finding

Installed = Callable[[str], str | None]
"""Returns the installed version of a distribution, None where there is none."""


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
    compares = False

    def __init__(self, on_mismatch: Literal["warn", "refuse"]) -> None:
        self._on_mismatch = on_mismatch

    async def check(self, candidate: Candidate) -> Finding:
        """Name each package that differs, what is wanted and what was found."""
        path = candidate.stored.path
        compared, differences, unread = await anyio.to_thread.run_sync(_compare_here, path)
        also = f"; not compared: {', '.join(unread)}" if unread else ""
        if differences:
            told = f"{'; '.join(differences)}{also}"
            if self._on_mismatch == "refuse":
                return Finding(Outcome.REFUSE, f"{told}: install what is wanted (ON_MISMATCH)")
            return Finding(Outcome.PASS, f"warning: {told} (ON_MISMATCH=warn)")
        if not compared:
            return Finding(Outcome.SKIP, f"the version names nothing that it needs{also}")
        return Finding(Outcome.PASS, f"all {compared} that it needs are installed{also}")


def compare(wanted_python: str, requirements: str, python: str, installed: Installed) -> Comparison:
    """Compare a version's Python ('' for unknown) and requirements.txt with what is here.

    Of Python major and minor count, as for MLflow (`mlflow/pyfunc/utils`, 3.17).
    """
    compared, differences, unread = 0, [], []
    if wanted_python:
        compared += 1
        if _minor(wanted_python) != _minor(python):
            differences.append(f"Python {wanted_python} wanted, {python} found")
    for line in _lines(requirements):
        try:
            requirement = Requirement(line)
        except InvalidRequirement:
            unread.append(line)
            continue
        if requirement.marker is not None and not requirement.marker.evaluate():
            continue
        compared += 1
        found = installed(requirement.name)
        if found is None or not _meets(requirement, found):
            wanted = (
                f"{requirement.name}{f' {requirement.specifier}' * bool(requirement.specifier)}"
            )
            differences.append(f"{wanted} wanted, {found or 'none'} found")
    return Comparison(compared, differences, unread)


def installed_version(name: str) -> str | None:
    """Return the installed version of a distribution, without importing it."""
    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return None


def _compare_here(path: Path) -> Comparison:
    requirements = path / "requirements.txt"
    text = requirements.read_text("utf-8", "replace") if requirements.is_file() else ""
    return compare(_python_of(path), text, platform.python_version(), installed_version)


def _python_of(path: Path) -> str:
    """Return the Python that MLmodel names, '' where it names none."""
    try:
        described = read_mlmodel(path)
        return str(described["flavors"]["python_function"]["python_version"])
    except (yaml.YAMLError, UnicodeDecodeError, KeyError, TypeError):
        return ""  # the load gate has its own words for such a file


def _minor(version: str) -> list[str]:
    return version.split(".")[:2]


def _lines(requirements: str) -> Iterator[str]:
    """Yield a requirements file's lines without comments, hashes and line breaks."""
    for line in requirements.replace("\\\n", " ").splitlines():
        wanted = f" {line}".partition(" #")[0].partition(" --hash")[0].strip()
        if wanted:
            yield wanted


def _meets(requirement: Requirement, found: str) -> bool:
    try:
        return requirement.specifier.contains(found, prereleases=True)
    except InvalidVersion:
        return False
