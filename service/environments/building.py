"""Build an environment in a folder aside: install, compile, import, write down every file."""

import sys
import time
from collections.abc import Awaitable, Callable
from pathlib import Path

import msgspec

from service.core.environments import BuildProgress, EnvironmentSettings
from service.core.versions import StoredVersion
from service.environments.files import EnvironmentFiles
from service.environments.importing import IMPORT_S, try_imports
from service.environments.kept import (
    LOCK,
    MANIFEST,
    VENV,
    About,
    KeptEnvironments,
    interpreter_of,
    now_s,
)
from service.environments.locking import Lock, installs_wheels
from service.environments.messages import Needs
from service.environments.outcomes import yanked
from service.environments.program import Ended
from service.environments.pythons import Python
from service.environments.uv import Progress, Uv, Watch

_COMPILE_S = 1200.0
_SYNC = ("sync", "--frozen", "--no-install-project", "--no-dev", "--inexact")
_COMPILE = ("-I", "-S", "-m", "compileall", "-qq", "-j", "0")
_FICLONE = 0x4004_9409
"""From `linux/fs.h`."""


class Built(msgspec.Struct, frozen=True):
    """What a build has come to, besides what is kept beside the environment."""

    about: About
    download_s: float
    install_s: float
    downloaded_bytes: int


class Builder:
    """Builds one environment."""

    def __init__(
        self,
        uv: Uv,
        kept: KeptEnvironments,
        files: EnvironmentFiles,
        wanted: EnvironmentSettings,
        progress: Progress,
        import_s: float = IMPORT_S,
    ) -> None:
        self._uv = uv
        self._kept = kept
        self._files = files
        self._wanted = wanted
        self._progress = progress
        self._import_s = import_s

    async def build(
        self, key: str, stored: StoredVersion, needs: Needs, python: Python, lock: Lock
    ) -> Built:
        """Build an environment and put it into its place; the caller holds its lock.

        Nothing of it is left where that fails or is cancelled. Raise EnvironmentRefusedError or
        EnvironmentNotBuiltError.
        """
        aside = self._kept.aside(key)
        try:
            return await self._build(aside, key, stored, needs, python, lock)
        finally:
            await self._kept.remove_quietly(aside)

    async def _build(
        self,
        aside: Path,
        key: str,
        stored: StoredVersion,
        needs: Needs,
        python: Python,
        lock: Lock,
    ) -> Built:
        await self._begin(aside, python, lock)
        self._progress(BuildProgress("download", packages=lock.packages))
        watch = Watch("download", self._progress)
        installs = time.monotonic()
        notes = await self._install(aside, stored, needs, lock, watch)
        # Where all of it was in the cache, nothing was prepared.
        prepared = watch.prepared_s or installs
        about = await self._finish(aside, key, needs, python, lock, notes)
        took_s = time.monotonic() - prepared
        return Built(about, prepared - installs, took_s, watch.downloaded_bytes)

    async def adopt(
        self,
        key: str,
        needs: Needs,
        python: Python,
        lock: Lock,
        fill: Callable[[Path], Awaitable[None]],
    ) -> None:
        """Do as `build` does with packages that are brought by `fill`, which gets the environment.

        They are imported and written down as any others.
        """
        aside = self._kept.aside(key)
        try:
            await fill(await self._begin(aside, python, lock))
            await self._finish(aside, key, needs, python, lock)
        finally:
            await self._kept.remove_quietly(aside)

    async def _begin(self, aside: Path, python: Python, lock: Lock) -> Path:
        """Make an environment that has no packages yet; return its folder."""
        await self._kept.run(aside.mkdir)
        await self._kept.run((aside / LOCK).write_bytes, lock.whole.encode())
        venv = aside / VENV
        await self._uv.must(
            "no environment can be made of its Python",
            ["venv", venv, "--relocatable", "--no-project", *_python(python.path)],
            limit_s=self._wanted.timeout_s,
        )
        return venv

    async def _finish(
        self,
        aside: Path,
        key: str,
        needs: Needs,
        python: Python,
        lock: Lock,
        notes: tuple[str, ...] = (),
    ) -> About:
        """Try what was installed, write it down, and put it into its place."""
        venv = aside / VENV
        self._progress(BuildProgress("install", "compiled", lock.packages, lock.packages))
        await self._compile(venv, self._kept.folder(key) / VENV)
        self._progress(BuildProgress("import", "", lock.packages, lock.packages))
        failed = await try_imports(self._uv, venv, needs, lock, self._import_s)
        recorded = await self._files.record(venv, aside / MANIFEST)
        about = About(
            key=key,
            python=python.version,
            found_by=needs.found_by,
            lock_digest=lock.digest,
            manifest_digest=recorded.digest,
            packages=lock.packages,
            bytes=recorded.size_bytes,
            built_s=now_s(),
            # uv says the same of a release when it resolves and when it installs.
            notes=tuple(dict.fromkeys((*lock.notes, *notes, *failed))),
        )
        await self._kept.place(aside, about)
        return about

    async def _install(
        self, aside: Path, stored: StoredVersion, needs: Needs, lock: Lock, watch: Watch
    ) -> tuple[str, ...]:
        """Install the lock's packages, and ours first; return what is to be said of them.

        After a version's own packages uv runs no more: their code may run whenever that Python
        does, and would see the variables that are uv's alone.
        """
        venv = aside / VENV
        mode = await self._kept.run(link_mode, aside)
        if lock.ours:
            ours = aside / "ours.txt"
            await self._kept.run(ours.write_bytes, lock.ours.encode())
            await self._pip_install(venv, ours, mode, [], watch)
            await self._kept.run(ours.unlink)
        if lock.project:
            ended = await self._uv.must(
                "its packages can't be installed",
                [*_SYNC, "--link-mode", mode, *_python(interpreter_of(venv)), *self._no_build()],
                limit_s=self._wanted.timeout_s,
                folder=Path(lock.project),
                variables={"UV_PROJECT_ENVIRONMENT": str(venv)},
                watch=watch,
            )
            return yanked(ended.lines)
        theirs = aside / "theirs.txt"
        await self._kept.run(theirs.write_bytes, lock.text.encode())
        brought: list[str | Path] = []
        if installs_wheels(needs.found_by):
            brought = ["--no-index", "--find-links", stored.path / "wheels"]
        ended = await self._pip_install(venv, theirs, mode, brought, watch)
        await self._kept.run(theirs.unlink)
        return yanked(ended.lines)

    async def _pip_install(
        self, venv: Path, lines: Path, mode: str, options: list[str | Path], watch: Watch
    ) -> Ended:
        # A lock that names a version of git's has no hash for it.
        hashes = "--verify-hashes" if self._wanted.allow_urls else "--require-hashes"
        command: list[str | Path] = ["pip", "install", "--requirements", lines, "--no-deps", hashes]
        command += ["--link-mode", mode, *_python(interpreter_of(venv)), *self._no_build()]
        return await self._uv.must(
            "its packages can't be installed",
            [*command, *options],
            limit_s=self._wanted.timeout_s,
            watch=watch,
        )

    def _no_build(self) -> list[str]:
        return [] if self._wanted.allow_sdist else ["--no-build"]

    async def _compile(self, venv: Path, place: Path) -> None:
        """Have every module compiled, as no worker does: it must not write into its environment.

        What can't be compiled is left as it is.
        """
        await self._uv.run_other(
            [interpreter_of(venv), *_COMPILE, "-s", venv, "-p", place, venv / "lib"],
            limit_s=_COMPILE_S,
        )


def link_mode(folder: Path) -> str:
    """Return how files get into an environment on this disk: cloned where it can, else copied.

    uv's own way back from a clone is a hard link, by which a model that writes in its environment
    would write into uv's cache, and so into every other environment.
    """
    if sys.platform == "darwin":
        return "clone"
    if sys.platform != "linux":
        return "copy"
    import fcntl  # noqa: PLC0415 - POSIX only

    one, other = folder / "cloned", folder / "clone"
    try:
        one.write_bytes(b"x")
        with one.open("rb") as source, other.open("wb") as target:
            fcntl.ioctl(target.fileno(), _FICLONE, source.fileno())
    except OSError:
        return "copy"
    finally:
        for file in (one, other):
            file.unlink(missing_ok=True)
    return "clone"


def _python(path: str | Path) -> tuple[str | Path, ...]:
    """Return the options by which uv takes this Python and no other."""
    return "--python", path, "--no-python-downloads"
