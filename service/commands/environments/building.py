"""What commands need to build an environment: the builder, its settings, and where it tells."""

from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from pathlib import Path

from service.core.environments import BuildProgress, EnvironmentSettings
from service.core.errors import EnvironmentRefusedError
from service.environments.files import EnvironmentFiles
from service.environments.indexes import trusted_urls
from service.environments.messages import Needs, ReadRequest
from service.environments.uv import Progress
from service.platform import Platform
from service.settings.deployment import DeploymentSettings

Say = Callable[[str], None]
"""Tells a person a sentence meanwhile."""


class Building:
    """The environments of this cache, while a platform is open."""

    def __init__(self, platform: Platform, say: Say) -> None:
        self._platform = platform
        self.environments = platform.environments
        self.temp_dir = platform.temp_dir
        self.progress = told_by(say)

    def files(self) -> AbstractAsyncContextManager[EnvironmentFiles]:
        """Have the child that reads files of environments and of versions."""
        return self.environments.files()

    async def needs(self, root: Path, folder: Path, wanted: EnvironmentSettings) -> Needs:
        """Return what the version in `root` is to have installed; `folder` gets a project's copy.

        Raise EnvironmentRefusedError where that can't be installed.
        """
        trusted = trusted_urls(self.environments.uv.variables)
        request = ReadRequest(str(root), str(folder / "project"), wanted.allow_urls, trusted)
        async with self.files() as files:
            needs = await files.read(request)
        if needs.refusal:
            raise EnvironmentRefusedError(needs.refusal)
        return needs


def wanted_of(deployment: DeploymentSettings) -> EnvironmentSettings:
    """Return how a model's environments are built, whether or not it would share the service's."""
    return EnvironmentSettings(
        mode="own",
        timeout_s=deployment.env_timeout_s,
        allow_sdist=deployment.allow_sdist,
        allow_urls=deployment.env_allow_urls,
    )


def told_by(say: Say) -> Progress:
    """Return what tells a person of each step of a build as it begins."""
    step = ""

    def tell(progress: BuildProgress) -> None:
        nonlocal step
        if progress.step != step:
            step = progress.step
            say(f"{step}: {progress.detail}" if progress.detail else step)

    return tell
