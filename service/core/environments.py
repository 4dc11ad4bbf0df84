"""The Python environments that versions run in: the service's own, or one built for a version."""

from typing import Annotated, Literal

import msgspec

from service.core.text import LISTED_CHARACTERS, Sentence
from service.core.text_enum import TextEnum

EnvironmentMode = Literal["shared", "auto", "own"]
"""`shared`: the service's own environment. `auto`: that one where it has all that the version
needs, and else one of its own. `own`: always one of its own."""

Listed = Annotated[str, msgspec.Meta(max_length=LISTED_CHARACTERS)]


class Environment(msgspec.Struct, frozen=True):
    """What the workers of a version run in.

    `key` names it on disk, `interpreter` is the absolute path of its Python, `python` that Python's
    version, such as `3.12.1`, and `digest` tells it from one that was built for the same key before
    and was damaged. All of them are '' for the service's own.
    """

    key: str = ""
    interpreter: str = ""
    python: str = ""
    digest: str = ""

    @property
    def is_shared(self) -> bool:
        """Whether it is the service's own."""
        return not self.key


SHARED = Environment()
"""The service's own."""


class EnvironmentSettings(msgspec.Struct, frozen=True):
    """How environments are made for one model's versions."""

    mode: EnvironmentMode = "shared"
    timeout_s: float = 1800.0
    """Seconds that a build may take, with what it downloads."""
    allow_sdist: bool = False
    """Whether source packages may be built, which run their own code meanwhile."""
    allow_urls: bool = False
    """Whether a version may name URLs, paths, git sources and indexes of its own."""
    cache_bytes: int = 0
    """Environments that nothing uses are removed where all of them hold more than this."""


class BuildProgress(msgspec.Struct, frozen=True):
    """How far a build is, told each time that it changes.

    `step` is a word such as `resolve`, `download`, `install` or `import`; `detail` says what it is
    at, in words. Of `packages` in all, `packages_done` are there; 0 where that is not known yet.
    """

    step: str
    detail: Sentence = ""
    packages: int = 0
    packages_done: int = 0
    downloaded_bytes: int = 0

    @property
    def told(self) -> str:
        """How far it is, in words for people."""
        done = f"{self.packages_done} of {self.packages} packages" if self.packages else ""
        return ", ".join(filter(None, (self.step, self.detail, done)))


class BuildOutcome(TextEnum):
    """What came of looking for a version's environment."""

    SHARED = "shared"  # the service's own has all that the version needs
    FOUND = "found"  # it was built before
    BUILT = "built"
    REFUSED = "refused"  # it can't be had, however often that is tried
    FAILED = "failed"  # for a reason that passes: tried again
    CANCELLED = "cancelled"  # the version is no longer wanted


class BuildReport(msgspec.Struct, frozen=True):
    """The outcome of looking for a version's environment, and of building it where it was missing.

    All of it is empty where the version shares the service's own, but for `seconds` and `notes`.
    """

    found_by: Listed = ""
    """What said which packages are to be installed, in words, such as `uv.lock`."""
    lock_digest: str = ""
    """SHA-256 of the lock that it was installed from, in hexadecimal."""
    packages: int = 0
    """How many packages it has."""
    differs: tuple[Listed, ...] = ()
    """What of the service's own environment is not what the version needs, a sentence each."""
    was_there: bool = False
    """Whether it was built before, and nothing was to be done."""
    seconds: float = 0.0
    download_s: float = 0.0
    install_s: float = 0.0
    downloaded_bytes: int = 0
    """What was downloaded for it; 0 where all of it was in the cache."""
    bytes: int = 0
    """What it holds on the disk."""
    notes: tuple[Listed, ...] = ()
    """What a person should know besides, a sentence each."""


def outcome_of(environment: Environment, report: BuildReport) -> BuildOutcome:
    """Say where an environment that is there has come from."""
    if environment.is_shared:
        return BuildOutcome.SHARED
    return BuildOutcome.FOUND if report.was_there else BuildOutcome.BUILT
