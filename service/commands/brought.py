"""A version brought onto disk for a command, by the first part of a promotion's way.

That is source, store, and the gates that ask whose files they are.
"""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import NamedTuple

import msgspec

from service.cache_dir import require_writable
from service.core.errors import NothingPromotedError
from service.core.versions import InvalidModelUriError, ModelRef, StoredVersion
from service.credentials import Credentials
from service.deployment import Deployment
from service.platform import Platform, open_platform
from service.settings.deployment import DeploymentSettings
from service.settings.errors import SettingsError
from service.settings.service import ServiceSettings
from service.settings.texts import show
from service.watcher.gates.environment import EnvironmentGate
from service.watcher.proving import check_files
from service.watcher.verdict_log import VerdictLog


class Brought(NamedTuple):
    """A version on disk, which stays there meanwhile, and what has brought it."""

    platform: Platform
    stored: StoredVersion


@asynccontextmanager
async def brought(
    service: ServiceSettings,
    defaults: DeploymentSettings,
    uri: str,
    credentials: Credentials,
) -> AsyncIterator[Brought]:
    """Bring what a model URI means now into the store, for as long as this is open.

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
            yield Brought(platform, in_use.stored)
        # Where no service runs, nothing else would.
        await deployment.store.prune()
