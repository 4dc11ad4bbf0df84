"""`hotswap lock` and `hotswap env`, as they are called. Each imports what it needs."""

from collections.abc import Awaitable
from pathlib import Path
from typing import TYPE_CHECKING

import rich_click as click

from service.commands.beside import FAILED, end, settings_of_service, tell_beside_the_service

if TYPE_CHECKING:
    from service.credentials import Credentials
    from service.settings.settings import Settings


@click.command()
@click.argument("uri")
def lock(uri: str) -> None:
    """Lock the packages of URI, such as models:/NAME/3, for services that set ENVIRONMENT.

    They are resolved as of the day the version was created; the lock, with hashes, is put beside
    its artifacts. To be done before the version is signed or promoted.
    """
    from service.commands.environments.lock import lock_version  # noqa: PLC0415 - see the module's docstring

    def run(settings: "Settings", credentials: "Credentials") -> Awaitable[str]:
        return lock_version(settings.service, settings.defaults, uri, credentials, _say)

    tell_beside_the_service(run, "not locked")


@click.group()
def env() -> None:
    """Bundle, import, list and prune environments of versions."""


@env.command("bundle")
@click.argument("uri")
@click.option(
    "-o",
    "--output",
    "target",
    required=True,
    type=click.Path(dir_okay=False, path_type=Path),
    help="The file to write: a tar.",
)
def bundle(uri: str, target: Path) -> None:
    """Write the environment of the version that URI means now into a file, built where missing.

    `hotswap env import` puts it into the cache of another machine of the same kind, which then
    needs no package index for this version.
    """
    from service.commands.environments.bundling import bundle_environment  # noqa: PLC0415 - the same

    def run(settings: "Settings", credentials: "Credentials") -> Awaitable[str]:
        return bundle_environment(
            settings.service, settings.defaults, uri, target.absolute(), credentials, _say
        )

    tell_beside_the_service(run, "not bundled")


@env.command("import")
@click.argument("file", type=click.Path(path_type=Path))
@click.option("--sha256", default="", metavar="DIGEST", help="Refuse any other file than this.")
def import_(file: Path, sha256: str) -> None:
    """Put the environment in FILE into this cache.

    What is in it runs here: import only what you have made yourself.
    """
    from service.commands.environments.bundling import import_environment  # noqa: PLC0415 - the same

    def run(settings: "Settings", credentials: "Credentials") -> Awaitable[str]:
        return import_environment(settings.service, file, sha256, credentials, _say)

    tell_beside_the_service(run, "not imported")


_as_json = click.option("--json", "as_json", is_flag=True, help="As one JSON document.")


@env.command("list")
@_as_json
def list_(*, as_json: bool) -> None:
    """Show which environments are kept, what they hold, and which are in use."""
    from service.commands.environments import listing  # noqa: PLC0415 - see the module's docstring
    from service.core.errors import ServiceError  # noqa: PLC0415 - the same

    try:
        found = listing.listed(settings_of_service().cache_dir)
    except ServiceError as error:
        end(str(error), FAILED)
    if as_json:
        click.echo(listing.as_json(found))
    else:
        listing.show_listed(found)


@env.command("prune")
@click.option("--all", "every", is_flag=True, help="All that nothing uses, and uv's downloads.")
@_as_json
def prune(*, every: bool, as_json: bool) -> None:
    """Remove environments that nothing uses beyond ENV_CACHE_BYTES, the last used last."""
    from service.commands.environments import listing  # noqa: PLC0415 - see the module's docstring
    from service.core.errors import ServiceError  # noqa: PLC0415 - the same

    service = settings_of_service()
    try:
        done = listing.pruned(service, 0 if every else service.env_cache_bytes)
    except ServiceError as error:
        end(str(error), FAILED)
    click.echo(listing.as_json(done) if as_json else listing.sentence_of(done))


def _say(sentence: str) -> None:
    """Tell a person what is being done; what was done goes to stdout."""
    click.echo(sentence, err=True)
