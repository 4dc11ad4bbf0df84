"""`hotswap check`: would the promoted version load and pass? Asked before a deploy.

It goes the promotion's own way (source, store, gates), and stops where the swap would be: nothing
is served.
"""

import functools
from collections.abc import Callable, Mapping
from types import MappingProxyType

import anyio

from service.app import Backstage, open_backstage
from service.cache_dir import require_writable
from service.core.errors import RefusedError, ServiceError, SourceUnavailableError
from service.core.redaction import redact
from service.core.verdicts import Verdict
from service.serving.model import LoadedModel
from service.settings.settings import Settings
from service.store.artifact_store import InUse
from service.watcher.gates.gate import Candidate, pass_gates

GOOD = 0
NOT_GOOD = 1

Say = Callable[[str, str, str], None]
"""Tell one line: what was checked, the outcome, and a sentence."""


async def check_promoted(
    settings: Settings, say: Say, credentials: Mapping[str, str] = MappingProxyType({})
) -> int:
    """Check settings, registry, and the promoted version; return the exit status.

    `credentials` are for the processes that ask the registry. Raise SettingsError where CACHE_DIR
    can't be written to.
    """
    require_writable(settings.cache_dir)
    uri = redact(settings.mlflow_registry_uri or settings.mlflow_tracking_uri)
    say("settings", "pass", f"{settings.ref.uri} at {uri}")
    async with open_backstage(settings, None, credentials) as backstage:
        try:
            version = await backstage.source.resolve()
        except SourceUnavailableError as error:
            say("registry", "fail", str(error))
            return NOT_GOOD
        if version is None:
            say("registry", "fail", backstage.source.note or "nothing is promoted there")
            return NOT_GOOD
        say("registry", "pass", f"version {version.version} of {version.name} is promoted")
        try:
            in_use = await backstage.store.ensure_in_use(version)
        except ServiceError as error:
            say("fetch", "fail", redact(str(error)))
            return NOT_GOOD
        say("fetch", "pass", f"its files are in {in_use.stored.path}")
        try:
            await _prove(backstage, in_use, say)
        except ServiceError as error:
            # A gate's refusal was told as its verdict.
            if not isinstance(error, RefusedError):
                say("check", "fail", str(error))
            return NOT_GOOD
    return GOOD


async def _prove(backstage: Backstage, in_use: InUse, say: Say) -> None:
    """Open the version, pass it through the gates, and close it."""

    def tell(verdict: Verdict) -> None:
        say(verdict.gate, str(verdict.outcome), verdict.reason)

    failure: ServiceError | None = None
    async with in_use, anyio.create_task_group() as nursery:

        async def open_model() -> LoadedModel:
            opened: LoadedModel = await nursery.start(
                functools.partial(backstage.host.run, in_use.stored)
            )
            return opened

        candidate = Candidate(in_use.stored, lambda: None, open_model)
        try:
            await pass_gates(backstage.gates, candidate, tell)
        except ServiceError as error:
            # Raised below: the task group would wrap it.
            failure = error
        if candidate.is_open:
            candidate.model.close()
    if failure is not None:
        raise failure
