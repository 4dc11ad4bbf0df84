"""Puts a bundle's environment among those that are kept: a version then needs no network for it."""

import platform
import sys
from functools import partial
from pathlib import Path

import anyio.to_thread
import msgspec
from anyio.from_thread import check_cancelled

from service.core.environments import BuildProgress, EnvironmentSettings
from service.core.versions import ModelVersion
from service.environments import bundle
from service.environments.building import Builder
from service.environments.bundle import Bundle, BundleError
from service.environments.environments import Environments
from service.environments.files import EnvironmentFiles
from service.environments.kept import MANIFEST, VENV
from service.environments.locking import Lock, key_of

_LIMIT_S = 600.0
"""How long another service's work on the same environment is waited for."""


class Imported(msgspec.Struct, frozen=True):
    """What an import has come to."""

    bundle: Bundle
    key: str
    python: str
    was_there: bool
    """Whether the same environment was kept already, so that nothing was unpacked."""


async def import_bundle(
    file: Path,
    environments: Environments,
    files: EnvironmentFiles,
    sha256: str = "",
) -> Imported:
    """Put a bundle's environment into its place, and remember its lock for its version.

    Where `sha256` is given, the file has to have that digest. Raise BundleError where it is no
    bundle, or none for this machine; EnvironmentRefusedError, EnvironmentNotBuiltError as a build
    does.
    """
    kept = environments.kept
    found = await _read(file, sha256)
    _require_same_machine(found)
    python = await environments.pythons.find(found.python, _LIMIT_S, _ignored)
    lock = Lock(found.lock, found.lock_of_ours, notes=found.notes)
    key = key_of(lock, found.needs.found_by, python)

    async def fill(venv: Path) -> None:
        await kept.run(partial(bundle.unpack, file, venv, check_cancelled))

    async with kept.locked(key, _LIMIT_S):
        was_there = await _is_intact(key, environments, files)
        if not was_there:
            settings = EnvironmentSettings("own")
            import_s = environments.import_s
            builder = Builder(environments.uv, kept, files, settings, _ignored, import_s)
            await builder.adopt(key, found.needs, python, lock, fill)
    version = ModelVersion("", found.model, found.version, "", "", found.created_ms)
    await environments.locks.import_lock(version, found.needs, python, lock)
    return Imported(found, key, python.version, was_there)


async def _read(file: Path, sha256: str) -> Bundle:
    try:
        if sha256:
            digest = await anyio.to_thread.run_sync(bundle.digest_of, file, check_cancelled)
            if digest != sha256.lower():
                raise BundleError("its SHA-256 is not the one that was given")
        return await anyio.to_thread.run_sync(bundle.read, file)
    except OSError as error:
        raise BundleError(f"it can't be read: {error.strerror or error}") from error


async def _is_intact(key: str, environments: Environments, files: EnvironmentFiles) -> bool:
    """Tell whether an environment is there as it was built; the caller holds its lock."""
    kept = environments.kept
    about = await kept.about(key)
    if about is None:
        return False
    folder = kept.folder(key)
    return not await files.difference(
        folder / VENV, folder / MANIFEST, about.manifest_digest, fully=True
    )


def _require_same_machine(found: Bundle) -> None:
    """Raise BundleError where what was built there can't run here."""
    libc, version = platform.libc_ver()
    here = (sys.platform, platform.machine())
    if (found.system, found.machine) != here:
        raise BundleError(
            f"it was built for {found.system} on {found.machine}, and this is {' on '.join(here)}"
        )
    if found.libc[0] != libc or _numbers(found.libc[1]) > _numbers(version):
        raise BundleError(
            f"it was built with {' '.join(found.libc)}, and here is {libc or 'another'} {version}"
        )


def _numbers(version: str) -> list[int]:
    return [int(part) for part in version.split(".") if part.isdigit()]


def _ignored(_: BuildProgress) -> None:
    """Take progress that nobody waits for."""
