"""`hotswap fetch`: the version that a URI means now, brought onto disk for any server to load.

It goes the first part of a promotion's way (source, store, the gates that ask whose files they
are), and ends with a copy of what is in the store.
"""

from pathlib import Path

import anyio.to_thread
import msgspec
from anyio.from_thread import check_cancelled

from service.cache_dir import require_writable
from service.core.errors import FetchFailedError, NothingPromotedError
from service.core.versions import InvalidModelUriError, ModelRef, StoredVersion
from service.credentials import NO_CREDENTIALS, Credentials
from service.deployment import Deployment
from service.platform import open_platform
from service.settings.deployment import DeploymentSettings
from service.settings.errors import SettingsError
from service.settings.service import ServiceSettings
from service.settings.texts import show
from service.store import manifest
from service.store.copy_out import copy_out
from service.store.manifest import Manifest
from service.watcher.gates.artifacts import readable_size
from service.watcher.gates.environment import EnvironmentGate
from service.watcher.proving import check_files
from service.watcher.verdict_log import VerdictLog


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
    try:
        ModelRef.parse(uri)
    except InvalidModelUriError as error:
        raise SettingsError(str(error)) from None
    settings = msgspec.structs.replace(defaults, model_uri=uri, model_stage="", model_alias="")
    settings.check()
    require_writable(service.cache_dir)
    async with open_platform(service, None, credentials) as platform:
        deployment = Deployment("fetch", settings, platform)
        await deployment.store.open()
        version = await deployment.source.resolve()
        if version is None:
            raise NothingPromotedError(deployment.source.note or f"nothing is at {show(uri)}")
        async with await deployment.store.ensure_in_use(version) as in_use:
            # Whether this environment fits says nothing about the one that will load it.
            gates = [
                one for one in deployment.gates.of_files if not isinstance(one, EnvironmentGate)
            ]
            await check_files(gates, in_use.stored, VerdictLog(lambda _: None))
            brought = await _copied(in_use.stored, folder, manifest_file)
        # Where no service runs, nothing else would.
        await deployment.store.prune()
    count = len(brought.files)
    return (
        f"version {version.version} of {show(version.name)} is in {folder}: {count} "
        f"file{'' if count == 1 else 's'}, {readable_size(brought.size_bytes)}, "
        f"sha256 {brought.digest}"
    )


async def _copied(stored: StoredVersion, folder: Path, manifest_file: Path | None) -> Manifest:
    """Copy a stored version, and say in a file what was copied. Raise FetchFailedError."""

    def work() -> Manifest:
        brought = copy_out(stored, folder, check_cancelled)
        if manifest_file is not None:
            manifest.write(manifest_file, brought)
        return brought

    try:
        return await anyio.to_thread.run_sync(work)
    except OSError as error:
        place = error.filename or folder
        raise FetchFailedError(f"{place} can't be written: {error.strerror or error}") from error
