"""The lock of a version's environment: every package in one version, with the hashes of its files.

What a version brings as a lock is taken as it is; what is none is resolved by uv, and remembered.
"""

import contextlib
import hashlib
import platform
import re
import sys
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import msgspec
from packaging.requirements import InvalidRequirement, Requirement
from packaging.utils import canonicalize_name
from packaging.version import InvalidVersion, Version

from service.core.child_needs import OLDEST_MSGSPEC
from service.core.environments import BuildProgress, EnvironmentSettings
from service.core.errors import EnvironmentRefusedError, StateUnreadableError
from service.core.versions import ModelVersion
from service.environments.kept import KeptEnvironments
from service.environments.messages import UV_LOCK, WHEELS, Needs
from service.environments.outcomes import error_of, is_of_the_machine, yanked
from service.environments.pythons import Python
from service.environments.uv import Progress, Uv, Watch
from service.store import files
from service.store.state_file import StateFile

_MSGSPEC = "msgspec"
_FORMAT = 1
"""Counted up whenever an environment is built in another way from the same lock."""
_RESOLVED = ".resolved"
_KEPT = 500
"""At most this many resolved locks are remembered."""
_IMPORTED = ("imported",)
"""Where a lock comes from that was brought here with its environment."""
_UNDATED = "is missing an upload date"
_QUIET = ("--no-header", "--no-annotate", "--generate-hashes")
_EXPORT = (
    *("export", "--frozen", "--no-dev", "--no-emit-project"),
    *("--no-header", "--no-annotate", "--quiet"),
)
_USER = re.compile(r"//[^/@\s]*@")
_PIN = re.compile(r"([A-Za-z0-9][\w.-]{0,200}?)(?:\[[\w.,\s-]{0,200}\])?={2,3}([^\s;\\]{1,100})")


class Lock(msgspec.Struct, frozen=True):
    """What an environment is installed from.

    `ours` is the part that workers need beside what the version names; it goes in first. `project`
    is the folder of the copies of a `uv.lock` with its `pyproject.toml`, of which `text` says the
    same; '' where there is none, and until it is built.
    """

    text: str
    ours: str = ""
    project: str = ""
    notes: tuple[str, ...] = ()

    @property
    def whole(self) -> str:
        """All of it, as it is kept beside the environment."""
        return self.ours + self.text

    @property
    def digest(self) -> str:
        """SHA-256 of all of it."""
        return hashlib.sha256(self.whole.encode()).hexdigest()

    @property
    def packages(self) -> int:
        """How many packages it names, those for other systems included."""
        return sum(1 for _ in pins(self.whole))


class _Remembered(msgspec.Struct, frozen=True):
    """A lock that was resolved before."""

    text: str
    ours: str
    notes: tuple[str, ...]


class Locks:
    """Makes locks, and remembers those that uv had to resolve."""

    def __init__(self, uv: Uv, kept: KeptEnvironments) -> None:
        self._uv = uv
        self._kept = kept

    async def known(
        self, version: ModelVersion, needs: Needs, python: Python, wanted: EnvironmentSettings
    ) -> Lock | None:
        """Return the lock that was made of the same before, or imported; None for neither."""
        for where in (self._own(wanted), _IMPORTED):
            file = self._file(version, needs, python, where)
            with contextlib.suppress(StateUnreadableError):
                found = await self._kept.run(file.read)
                if found is not None:
                    return Lock(found.text, found.ours, notes=found.notes)
        return None

    async def import_lock(
        self, version: ModelVersion, needs: Needs, python: Python, lock: Lock
    ) -> None:
        """Have `known` return a lock that was made elsewhere, whatever the indexes are here."""
        await self._remember(self._file(version, needs, python, _IMPORTED), lock)

    async def make(
        self,
        version: ModelVersion,
        needs: Needs,
        python: Python,
        wanted: EnvironmentSettings,
        folder: Path,
        progress: Progress,
    ) -> Lock:
        """Return a version's lock, and remember it. `folder` is for files of this build.

        Raise EnvironmentRefusedError where there can be none, EnvironmentNotBuiltError where an
        index gave no answer.
        """
        progress(BuildProgress("resolve", f"{needs.found_by} is resolved"))
        watch = Watch("resolve", progress)
        resolver = _Resolver(self._uv, self._kept, python, wanted, folder, watch)
        lock = await resolver.lock(version, needs)
        _check_msgspec(lock)
        await self._remember(self._file(version, needs, python, self._own(wanted)), lock)
        return lock

    async def _remember(self, file: StateFile[_Remembered], lock: Lock) -> None:
        await self._kept.run(_remember, file, _Remembered(lock.text, lock.ours, lock.notes))

    def _own(self, wanted: EnvironmentSettings) -> tuple[object, ...]:
        """Return what a lock that is made here depends on, besides the version and the Python."""
        # Without credentials: they may change where the packages don't.
        indexes = sorted(
            f"{name}={_USER.sub('//', value)}"
            for name, value in self._uv.variables.items()
            if "INDEX" in name and not name.endswith(("_USERNAME", "_PASSWORD"))
        )
        found = self._uv.variables.get("UV_FIND_LINKS", "")
        return indexes, found, wanted.allow_sdist, wanted.allow_urls

    def _file(
        self, version: ModelVersion, needs: Needs, python: Python, where: tuple[object, ...]
    ) -> StateFile[_Remembered]:
        """Return where the lock is remembered that these make."""
        parts = (
            *(_FORMAT, OLDEST_MSGSPEC, needs.found_by, needs.requirements, needs.project_digest),
            *(python.version, _platform(), 0 if needs.is_lock else version.created_ms, where),
        )
        name = hashlib.sha256(msgspec.json.encode(parts)).hexdigest()[:32]
        return StateFile(self._kept.root / _RESOLVED / f"{name}.json", _Remembered, _FORMAT)


class _Resolver:
    """One resolution, for one interpreter."""

    def __init__(
        self,
        uv: Uv,
        kept: KeptEnvironments,
        python: Python,
        wanted: EnvironmentSettings,
        folder: Path,
        watch: Watch,
    ) -> None:
        self._uv = uv
        self._kept = kept
        self._python = python
        self._wanted = wanted
        self._folder = folder
        self._watch = watch

    async def lock(self, version: ModelVersion, needs: Needs) -> Lock:
        """Return what is to be installed."""
        if not needs.is_lock:
            return await self._resolved(needs, version.created_ms)
        if needs.found_by == UV_LOCK:
            text = await self._exported()
        else:
            text = "".join(f"{line}\n" for line in needs.requirements)
        if any(name == _MSGSPEC for name, _ in pins(text)):
            return Lock(text)
        ours, _ = await self._compiled("ours", [f"{_MSGSPEC}>={OLDEST_MSGSPEC}"], 0)
        return Lock(text, ours)

    async def _resolved(self, needs: Needs, created_ms: int) -> Lock:
        _refuse_old_pin(needs.requirements)
        options = [line for line in needs.requirements if line.startswith("-")]
        lines = [*needs.requirements, f"{_MSGSPEC}>={OLDEST_MSGSPEC}"]
        text, notes = await self._compiled("needs", lines, created_ms)
        return Lock("".join(f"{line}\n" for line in options) + text, notes=notes)

    async def _compiled(
        self, name: str, lines: list[str], created_ms: int
    ) -> tuple[str, tuple[str, ...]]:
        """Have uv resolve these lines as of a moment; return the lock, and what is to be said."""
        given, made = self._folder / f"{name}.in", self._folder / f"{name}.txt"
        await self._kept.run(given.write_bytes, "".join(f"{line}\n" for line in lines).encode())
        command: list[str | Path] = ["pip", "compile", given, "--output-file", made, *_QUIET]
        command += ["--python", self._python.path, "--no-python-downloads"]
        command += [] if self._wanted.allow_sdist else ["--no-build"]
        dated: list[str] = []
        if created_ms:
            moment = datetime.fromtimestamp(created_ms / 1000, UTC).isoformat(timespec="seconds")
            # What we add may be younger than the version.
            dated = ["--exclude-newer", moment, "--exclude-newer-package", f"{_MSGSPEC}=false"]
        note = "" if created_ms else "resolved as of today: nobody says when it was created"
        limit_s = self._wanted.timeout_s
        ended = await self._uv.run([*command, *dated], limit_s=limit_s, watch=self._watch)
        if ended.status and dated and any(_UNDATED in line for line in ended.lines):
            note = (
                "resolved as of today and not of the day it was created: the index does not say "
                "when files were uploaded"
            )
            ended = await self._uv.run(command, limit_s=limit_s, watch=self._watch)
        if ended.status:
            raise error_of("its packages can't be resolved", ended)
        return await self._read(made), ((note,) if note else ()) + yanked(ended.lines)

    async def _exported(self) -> str:
        """Return what a project's `uv.lock` says, once it was shown to be that project's."""
        project = self._folder / "project"
        common = ["--python", self._python.path, "--no-python-downloads", "--offline"]
        ended = await self._uv.run(
            ["lock", "--check", *common], limit_s=self._wanted.timeout_s, folder=project
        )
        if ended.status:
            error = error_of("its uv.lock does not match its pyproject.toml", ended)
            # What it wants of an index, which it may not ask here, it would want again.
            if ended.status < 0 or is_of_the_machine(ended):
                raise error
            raise EnvironmentRefusedError(str(error))
        made = self._folder / "exported.txt"
        await self._uv.must(
            "its uv.lock can't be read",
            [*_EXPORT, "--output-file", str(made), *common],
            limit_s=self._wanted.timeout_s,
            folder=project,
        )
        return await self._read(made)

    async def _read(self, made: Path) -> str:
        return (await self._kept.run(made.read_bytes)).decode()


def pins(text: str) -> Iterator[tuple[str, str]]:
    """Yield each package of a lock by its name, with its version."""
    for line in text.splitlines():
        found = _PIN.match(line)
        if found is not None:
            yield canonicalize_name(found[1]), found[2]


def key_of(lock: Lock, found_by: str, python: Python) -> str:
    """Return what names an environment: the same for all versions that have the same lock."""
    parts = (_FORMAT, found_by == UV_LOCK, lock.text, lock.ours, python.version, _platform())
    return hashlib.sha256(msgspec.json.encode(parts)).hexdigest()[:32]


def installs_wheels(found_by: str) -> bool:
    """Tell whether a lock's files are those that came with the version."""
    return found_by == WHEELS


def _platform() -> tuple[str, ...]:
    return sys.platform, platform.machine(), *platform.libc_ver()


def _refuse_old_pin(lines: tuple[str, ...]) -> None:
    """Refuse a version that wants a msgspec which workers can't use, in a sentence of ours."""
    for line in lines:
        with contextlib.suppress(InvalidRequirement):
            requirement = Requirement(line.partition(" --hash")[0])
            if canonicalize_name(requirement.name) != _MSGSPEC:
                continue
            for pin in requirement.specifier:
                if pin.operator in {"==", "==="}:
                    _refuse_older(pin.version)


def _check_msgspec(lock: Lock) -> None:
    for name, version in pins(lock.whole):
        if name == _MSGSPEC:
            _refuse_older(version)


def _refuse_older(version: str) -> None:
    try:
        is_older = Version(version) < Version(OLDEST_MSGSPEC)
    except InvalidVersion:
        return
    if is_older:
        raise EnvironmentRefusedError(
            f"it wants msgspec {version}, and its workers need {OLDEST_MSGSPEC} or later"
        )


def _remember(file: StateFile[_Remembered], lock: _Remembered) -> None:
    file.overwrite(lock)
    folder = file.file.parent
    kept = [folder / name for name in files.names(folder) if name.endswith(".json")]
    if len(kept) > _KEPT:
        kept.sort(key=lambda one: one.lstat().st_mtime_ns)
        for one in kept[: len(kept) - _KEPT]:
            files.remove(one)
            files.remove(one.with_suffix(".lock"))
