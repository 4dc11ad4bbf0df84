"""`hotswap lock`: resolve a version's packages, and log the lock beside its artifacts.

The service then installs exactly these, whatever an index offers by then.
"""

import platform as machine
import shutil
import uuid
from pathlib import Path

import anyio
import anyio.to_thread

from service.cache_dir import require_writable
from service.commands.environments.building import Building, Say, wanted_of
from service.core.artifact_names import ENVIRONMENT_LOCK, SIGNATURE
from service.core.errors import ServiceError
from service.core.versions import InvalidModelUriError, ModelRef, ModelVersion
from service.credentials import Credentials
from service.environments.locking import Lock
from service.environments.messages import Needs
from service.environments.pythons import Python
from service.platform import open_platform
from service.registry.address import RegistryAddress
from service.registry.messages import AddFileRequest, FindSignaturesRequest, ResolveRequest
from service.registry.registry import Registry
from service.settings.deployment import DeploymentSettings
from service.settings.errors import SettingsError
from service.settings.service import ServiceSettings
from service.settings.texts import show


class NotLockedError(ServiceError):
    """Why a version was not locked."""

    code = "not-locked"


async def lock_version(
    service: ServiceSettings,
    deployment: DeploymentSettings,
    uri: str,
    credentials: Credentials,
    say: Say,
) -> str:
    """Make a lock of what a model URI means now, and put it beside its artifacts.

    Return a sentence that says what was done; nothing is, where it has a lock already. Raise
    SettingsError for a wrong URI or setting; ServiceError where the registry, the artifact store or
    an index does not let us, and where the version is signed: its signature would be wrong.
    """
    try:
        ref = ModelRef.parse(uri)
    except InvalidModelUriError as error:
        raise SettingsError(str(error)) from None
    require_writable(service.cache_dir)
    async with open_platform(service, None, credentials) as platform:
        registry = platform.registry(RegistryAddress.of(deployment))
        version = (await registry.resolve(ResolveRequest(ref))).version
        if version is None:
            raise NotLockedError(f"the registry has nothing at {show(uri)}")
        shown = f"version {version.version} of {show(version.name)}"
        # Not by the store: what is in there is what a service may serve, and has no lock yet.
        folder = platform.temp_dir / f"lock-{uuid.uuid4().hex}"
        try:
            root = await registry.fetch(version, folder / "model", deployment.fetch_timeout_s)
            building = Building(platform, say)
            needs, python, lock = await _locked(building, deployment, version, root, folder)
            if lock is None:
                return f"{shown} needs no lock: {needs.found_by} says what is installed"
            await _require_unsigned(registry, deployment, version, folder)
            file = folder / ENVIRONMENT_LOCK
            await anyio.to_thread.run_sync(file.write_bytes, _text(lock, python).encode())
            request = AddFileRequest(version, str(file))
            reply = await registry.add_file(request, deployment.fetch_timeout_s)
        finally:
            with anyio.CancelScope(shield=True):
                await anyio.to_thread.run_sync(lambda: shutil.rmtree(folder, ignore_errors=True))
    for note in lock.notes:
        say(note)
    return f"{shown} is locked: {lock.packages} packages for Python {python.version}, {reply.place}"


async def _locked(
    building: Building,
    deployment: DeploymentSettings,
    version: ModelVersion,
    root: Path,
    folder: Path,
) -> tuple[Needs, Python, Lock | None]:
    """Return what a version needs, for which Python, and its lock; None where it brings one."""
    wanted, environments = wanted_of(deployment), building.environments
    await environments.open()
    needs = await building.needs(root, folder, wanted)
    if not needs.found_by:
        raise NotLockedError("it names no packages that could be locked")
    progress = building.progress
    python = await environments.pythons.find(needs.python, wanted.timeout_s, progress)
    if needs.is_lock:
        return needs, python, None
    lock = await environments.locks.make(version, needs, python, wanted, folder, progress)
    places = [line for line in lock.text.splitlines() if line.startswith("-") or " @ " in line]
    if places:
        raise NotLockedError(f"a lock names no places, and this would have {show(places[0])}")
    return needs, python, lock


async def _require_unsigned(
    registry: Registry, deployment: DeploymentSettings, version: ModelVersion, folder: Path
) -> None:
    """Raise NotLockedError where a signature is there, which a further file would make wrong."""
    request = FindSignaturesRequest(version, deployment.signatures_place, str(folder / "signed"))
    found = await registry.find_signatures(request, deployment.fetch_timeout_s)
    if found.paths or found.refused:
        raise NotLockedError(
            f"it is signed, and {SIGNATURE} would no longer be of its files: lock a version before "
            "it is signed"
        )


def _text(lock: Lock, python: Python) -> str:
    return (
        f"# Made by `hotswap lock` for Python {python.version} on {machine.system()} "
        f"{machine.machine()}.\n{lock.whole}"
    )
