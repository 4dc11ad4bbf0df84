"""`hotswap fetch`: the version that a URI means now, brought onto disk for any server to load.

It goes the first part of a promotion's way (source, store, the gates that ask whose files they
are), and ends with a copy of what is in the store.
"""

from pathlib import Path

import anyio.to_thread
from anyio.from_thread import check_cancelled

from service.commands.brought import brought
from service.core.errors import FetchFailedError
from service.core.versions import StoredVersion
from service.credentials import NO_CREDENTIALS, Credentials
from service.settings.deployment import DeploymentSettings
from service.settings.service import ServiceSettings
from service.settings.texts import show
from service.store import manifest
from service.store.copy_out import copy_out
from service.store.manifest import Manifest
from service.watcher.gates.artifacts import readable_size


async def fetch_version(
    service: ServiceSettings,
    defaults: DeploymentSettings,
    uri: str,
    folder: Path,
    manifest_file: Path | None = None,
    credentials: Credentials = NO_CREDENTIALS,
) -> str:
    """Bring what a model URI means now into a folder; return a sentence that says what was brought.

    Raise SettingsError for a wrong URI or setting; ServiceError where the registry, the artifact
    store, the disk or a gate does not let us.
    """
    async with brought(service, defaults, uri, credentials) as found:
        version = found.stored.version
        copied = await _copied(found.stored, folder, manifest_file)
    count = len(copied.files)
    return (
        f"version {version.version} of {show(version.name)} is in {folder}: {count} "
        f"file{'' if count == 1 else 's'}, {readable_size(copied.size_bytes)}, "
        f"sha256 {copied.digest}"
    )


async def _copied(stored: StoredVersion, folder: Path, manifest_file: Path | None) -> Manifest:
    """Copy a stored version, and say in a file what was copied. Raise FetchFailedError."""

    def work() -> Manifest:
        copied = copy_out(stored, folder, check_cancelled)
        if manifest_file is not None:
            manifest.write(manifest_file, copied)
        return copied

    try:
        return await anyio.to_thread.run_sync(work)
    except OSError as error:
        place = error.filename or folder
        raise FetchFailedError(f"{place} can't be written: {error.strerror or error}") from error
