"""`hotswap env bundle` and `hotswap env import`: an environment carried to another machine."""

import platform as machine
import sys
import uuid
from functools import partial
from pathlib import Path

import anyio.to_thread
from anyio.from_thread import check_cancelled

from service.cache_dir import require_writable
from service.commands.brought import brought
from service.commands.environments.building import Building, Say, wanted_of
from service.core.environments import EnvironmentSettings
from service.core.versions import StoredVersion
from service.credentials import Credentials
from service.environments import bundle
from service.environments.bundle import Bundle, BundleError, Written
from service.environments.bundle_import import import_bundle
from service.environments.kept import MANIFEST, VENV
from service.platform import open_platform
from service.processes.temp import remove_folder
from service.settings.deployment import DeploymentSettings
from service.settings.service import ServiceSettings
from service.settings.texts import show
from service.watcher.gates.artifacts import readable_size


async def bundle_environment(
    service: ServiceSettings,
    deployment: DeploymentSettings,
    uri: str,
    target: Path,
    credentials: Credentials,
    say: Say,
) -> str:
    """Write the environment of what a model URI means now into a file, built where it is missing.

    Return a sentence that says what was written. Raise SettingsError for a wrong URI or setting;
    ServiceError where the registry, an index or the disk does not let us.
    """
    async with brought(service, deployment, uri, credentials) as found:
        building = Building(found.platform, say)
        await building.environments.open()
        written = await _bundled(building, deployment, found.stored, target)
        version = found.stored.version
    return (
        f"the environment of version {version.version} of {show(version.name)} is in {target}: "
        f"{written.files} files, {readable_size(written.size_bytes)}, sha256 {written.sha256}"
    )


async def import_environment(
    service: ServiceSettings, file: Path, sha256: str, credentials: Credentials, say: Say
) -> str:
    """Put a bundle's environment into this cache; return a sentence that says what was put there.

    Raise ServiceError where the bundle is none, or none for this machine.
    """
    require_writable(service.cache_dir)
    async with open_platform(service, None, credentials) as platform:
        building = Building(platform, say)
        await building.environments.open()
        async with building.files() as files:
            done = await import_bundle(file, building.environments, files, sha256)
    found = done.bundle
    what = "was there already" if done.was_there else "is in this cache"
    return (
        f"the environment of version {found.version} of {show(found.model)} {what}: {done.key}, "
        f"Python {done.python}, {len(found.files)} files, {readable_size(found.size_bytes)}"
    )


async def _bundled(
    building: Building, deployment: DeploymentSettings, stored: StoredVersion, target: Path
) -> Written:
    """Write a stored version's environment into a file. Nothing removes it meanwhile."""
    environments, wanted = building.environments, wanted_of(deployment)
    held = await environments.ensure(stored, wanted, building.progress)
    try:
        described = await _described(building, stored, wanted)
        folder = environments.kept.folder(held.environment.key)
        write = partial(
            bundle.write, target, folder / VENV, folder / MANIFEST, described, check_cancelled
        )
        return await anyio.to_thread.run_sync(write)
    except OSError as error:
        raise BundleError(f"{target} can't be written: {error.strerror or error}") from error
    finally:
        await held.release()


async def _described(
    building: Building, stored: StoredVersion, wanted: EnvironmentSettings
) -> Bundle:
    """Return what is said of an environment that was ensured a moment ago."""
    version, environments = stored.version, building.environments
    folder = building.temp_dir / f"bundle-{uuid.uuid4().hex}"
    try:
        needs = await building.needs(stored.path, folder, wanted)
    finally:
        await remove_folder(folder)
    python = await environments.pythons.find(needs.python, wanted.timeout_s, building.progress)
    lock = await environments.locks.known(version, needs, python, wanted)
    if lock is None:
        raise BundleError("its lock is gone again: another program has changed this cache")
    libc = machine.libc_ver()
    return Bundle(
        model=version.name,
        version=version.version,
        created_ms=version.created_ms,
        needs=needs,
        lock=lock.text,
        lock_of_ours=lock.ours,
        notes=lock.notes,
        python=python.version,
        system=sys.platform,
        machine=machine.machine(),
        libc=(libc[0], libc[1]),
    )
