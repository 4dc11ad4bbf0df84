"""`hotswap check`: would the promoted version load and pass? Asked before a deploy.

It goes the promotion's own way (source, store, gates), and stops where the swap would be: nothing
is served.
"""

import functools
from collections.abc import Callable

import anyio

from service.cache_dir import require_writable
from service.core.errors import RefusedError, ServiceError, SourceUnavailableError
from service.core.redaction import redact
from service.core.verdicts import Verdict
from service.credentials import NO_CREDENTIALS, Credentials
from service.deployment import Deployment
from service.platform import open_platform
from service.serving.model import LoadedModel
from service.settings.errors import SettingsError
from service.settings.settings import Settings
from service.settings.texts import show
from service.store.artifact_store import InUse
from service.watcher.loading import load
from service.watcher.prepared import Prepared
from service.watcher.proving import Proving, check_files
from service.watcher.verdict_log import VerdictLog

GOOD = 0
NOT_GOOD = 1

Say = Callable[[str, str, str], None]
"""Tell one line: what was checked, the outcome, and a sentence."""


async def check_promoted(
    settings: Settings,
    say: Say,
    credentials: Credentials = NO_CREDENTIALS,
    model: str = "",
) -> int:
    """Check settings, registry, and the promoted version of a model, or of all; return status.

    `credentials` are for the processes that ask the registry. Raise SettingsError where CACHE_DIR
    can't be written to, or no model has this name.
    """
    if model and model not in settings.deployments:
        names = ", ".join(settings.deployments)
        raise SettingsError(f"--model {show(model)} is wrong: allowed is one of {names}")
    require_writable(settings.service.cache_dir)
    status = GOOD
    async with open_platform(settings.service, None, credentials) as platform:
        platform.cpus.share_among(settings.workers)
        for name in [model] if model else settings.deployments:
            deployment = Deployment(name, settings.deployments[name], platform)
            status = max(status, await _check(deployment, say))
    return status


async def _check(deployment: Deployment, say: Say) -> int:
    """Check one deployment's promoted version; return the exit status."""
    place = deployment.address.place
    say("settings", "pass", f"{deployment.ref.uri} at {place}")
    await deployment.open()
    try:
        version = await deployment.source.resolve()
    except SourceUnavailableError as error:
        say("registry", "fail", str(error))
        return NOT_GOOD
    if version is None:
        say("registry", "fail", deployment.source.note or "nothing is promoted there")
        return NOT_GOOD
    say("registry", "pass", f"version {version.version} of {version.name} is promoted")
    try:
        in_use = await deployment.store.ensure_in_use(version)
    except ServiceError as error:
        say("fetch", "fail", redact(str(error)))
        return NOT_GOOD
    say("fetch", "pass", f"its files are in {in_use.stored.path}")
    try:
        await _prove(deployment, in_use, say)
    except ServiceError as error:
        # A gate's refusal was told as its verdict.
        if not isinstance(error, RefusedError):
            say("check", "fail", str(error))
        return NOT_GOOD
    return GOOD


async def _prove(deployment: Deployment, in_use: InUse, say: Say) -> None:
    """Build its environment, open the version, pass it through the gates, and close it."""

    def tell(verdict: Verdict) -> None:
        say(verdict.gate, str(verdict.outcome), verdict.reason)

    host, step, prepared = deployment.host(), deployment.build_step, Prepared(in_use)
    failure: ServiceError | None = None
    async with prepared, anyio.create_task_group() as tasks:

        async def open_model() -> LoadedModel:
            run = functools.partial(host.run, prepared.stored, prepared.environment)
            opened: LoadedModel = await tasks.start(run)
            return opened

        candidate: LoadedModel | None = None
        chain, verdicts = deployment.gates, VerdictLog(tell)
        try:
            await check_files(chain.of_files, in_use.stored, verdicts)
            if step is not None:
                await step.run(prepared, verdicts)
            candidate = await load(in_use.stored.version, open_model, verdicts)
            await Proving(chain.of_model, candidate, lambda: None, verdicts).complete()
        except ServiceError as error:
            # Raised below: the task group would wrap it.
            failure = error
        if candidate is not None:
            candidate.close()
    if failure is not None:
        raise failure
