"""The command line. Each command imports what it needs, so that `--help` answers quickly."""

import os
import sys
from collections.abc import Awaitable
from pathlib import Path
from typing import TYPE_CHECKING, NoReturn

import rich_click as click

from service.commands.beside import (
    FAILED,
    WRONG_SETTING,
    beside_the_service,
    end,
    settings_of_service,
    tell_beside_the_service,
)
from service.commands.environments.group import env, lock

if TYPE_CHECKING:
    from service.credentials import Credentials
    from service.settings.settings import Settings


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="mlflow-hotswap")
def cli() -> None:
    """Serve what the MLflow registry promotes.

    Settings are environment variables, or lines of `.env`; `.env.example` lists them all.
    """


cli.add_command(lock)
cli.add_command(env)


@cli.command()
@click.option("--ssl-certfile", metavar="FILE", help="The certificate for TLS, as SSL_CERTFILE.")
@click.option("--ssl-keyfile", metavar="FILE", help="Its key, as SSL_KEYFILE.")
def serve(ssl_certfile: str | None, ssl_keyfile: str | None) -> None:
    """Follow the registry and serve what it promotes."""
    from service.cache_dir import require_writable, temp_folder  # noqa: PLC0415 - see the module's docstring
    from service.credentials import withhold  # noqa: PLC0415 - the same
    from service.processes.ignored_signals import ignore_signals  # noqa: PLC0415 - the same
    from service.processes.launch import start_fork_server  # noqa: PLC0415 - the same
    from service.processes.own_memory import hide_memory  # noqa: PLC0415 - the same
    from service.settings.environment import (  # noqa: PLC0415 - the same
        load_settings,
        read_dotenv,
    )
    from service.settings.errors import SettingsError  # noqa: PLC0415 - the same
    from service.settings.exported import read_exported  # noqa: PLC0415 - the same
    from service.store.formats import may_need_skops  # noqa: PLC0415 - the same
    from service.wire.listening import (  # noqa: PLC0415 - see the module's docstring
        ListenError,
        listen,
    )
    from service.workers.preloaded import preloaded  # noqa: PLC0415 - the same

    ignore_signals()
    try:
        read_dotenv()
        given = {"SSL_CERTFILE": ssl_certfile, "SSL_KEYFILE": ssl_keyfile}
        chosen = {name: value for name, value in given.items() if value}
        settings = load_settings({**os.environ, **chosen})
        service = settings.service
        # Before any other process is started: none of them is to have what is taken here.
        hide_memory()
        exported = read_exported()
        credentials = withhold(service.worker_env)
        with listen(service.host, service.port) as listener:
            if service.grpc_port:
                # gRPC takes it once it runs; that it can is to be known before all else.
                listen(service.host, service.grpc_port, setting="GRPC_PORT").close()
            require_writable(service.cache_dir)
            temp = temp_folder(service.cache_dir)
            temp.use()
            # What it imports takes seconds, which go by while all that follows is imported here.
            start_fork_server(preloaded(skops=may_need_skops(service.cache_dir)))
            from service.telemetry.exports import open_exports  # noqa: PLC0415 - the same
            from service.telemetry.logging import configure_logging  # noqa: PLC0415 - the same

            configure_logging(service.log_level, service.log_format)
            from service.server import serve as run  # noqa: PLC0415 - the same

            exports = open_exports(exported, credentials.exporters)
            status = run(settings, listener, temp, credentials, exports)
    except SettingsError as error:
        end(str(error), WRONG_SETTING)
    except ListenError as error:
        end(str(error), FAILED)
    sys.exit(status)


@cli.command()
@click.option("--port", type=click.IntRange(1, 65_535), default=8080, show_default=True)
@click.option("--mlflow-port", type=click.IntRange(1, 65_535), default=5000, show_default=True)
@click.option(
    "--folder",
    type=click.Path(file_okay=False, path_type=Path),
    default=Path(".hotswap-demo"),
    show_default=True,
    help="Where MLflow's store, artifacts and logs go; delete it to begin anew.",
)
def demo(port: int, mlflow_port: int, folder: Path) -> None:
    """Start an MLflow server, two versions of a model and the service, all on this machine."""
    from service.commands.demo.command import run_demo  # noqa: PLC0415 - see the module's docstring

    sys.exit(run_demo(port=port, mlflow_port=mlflow_port, folder=folder.absolute()))


_model = click.option("--model", default="", metavar="NAME", help="Which one, where several are.")


@cli.command()
@_model
def check(model: str) -> None:
    """Say whether the promoted version would load and pass, without serving it.

    Of every model, where several are served and none is named.
    """
    from service.commands.check import check_promoted  # noqa: PLC0415 - see the module's docstring

    colours = {"pass": "green", "skip": "yellow"}

    def say(what: str, outcome: str, sentence: str) -> None:
        told = click.style(f"{outcome:8}", fg=colours.get(outcome, "red"))
        click.echo(f"{what:12}{told}{sentence}")

    def run(settings: "Settings", credentials: "Credentials") -> Awaitable[int]:
        return check_promoted(settings, say, credentials, model)

    sys.exit(beside_the_service(run))


@cli.command()
@click.argument("uri")
@click.option(
    "--key",
    required=True,
    type=click.Path(path_type=Path),
    help="The private key: PEM, without a password, on P-256, P-384 or P-521.",
)
def sign(uri: str, key: Path) -> None:
    """Sign the artifacts of URI, such as models:/NAME/3, for services that set REQUIRE_SIGNED.

    They are signed as the registry has them now, in the OpenSSF model-signing format; the signature
    is put beside them, or below SIGNATURES_URI where that is set.
    """
    from service.commands.sign import sign_version  # noqa: PLC0415 - see the module's docstring

    def run(settings: "Settings", credentials: "Credentials") -> Awaitable[str]:
        return sign_version(settings.service, settings.defaults, uri, key, credentials)

    tell_beside_the_service(run, "not signed")


@cli.command()
@click.argument("uri")
@click.argument("folder", metavar="DIR", type=click.Path(file_okay=False, path_type=Path))
@click.option(
    "--manifest",
    "manifest_file",
    type=click.Path(dir_okay=False, path_type=Path),
    help="Where to write the size and sha256 of every file, as JSON.",
)
def fetch(uri: str, folder: Path, manifest_file: Path | None) -> None:
    """Bring the version that URI means now into DIR, for any server to load.

    Its files are complete by the artifact store's listing, are signed where REQUIRE_SIGNED wants
    it, and have not changed since. DIR is to be empty, or to have files of this version alone.
    """
    from service.commands.fetch import fetch_version  # noqa: PLC0415 - see the module's docstring

    def run(settings: "Settings", credentials: "Credentials") -> Awaitable[str]:
        return fetch_version(
            settings.service,
            settings.defaults,
            uri,
            folder.absolute(),
            manifest_file,
            credentials,
        )

    tell_beside_the_service(run, "not fetched")


@cli.command()
@click.argument("version")
@_model
def pin(version: str, model: str) -> None:
    """Have the service serve VERSION, whatever the registry says."""
    _call_service("POST", {"version": version}, model)


@cli.command()
@_model
def unpin(model: str) -> None:
    """Have the service follow the registry again."""
    _call_service("DELETE", None, model)


@cli.command()
@click.option("--watch", is_flag=True, help="Show it again each second, until Ctrl-C.")
@click.option("--json", "as_json", is_flag=True, help="As one JSON document; a line each second.")
def status(*, watch: bool, as_json: bool) -> None:
    """Show what the running service serves, and what is wrong.

    Ends with status 0 where every model can answer, 1 where some can't, 2 where no service does.
    """
    from service.commands.status.command import run_status  # noqa: PLC0415 - see above

    sys.exit(run_status(settings_of_service(), watch=watch, as_json=as_json))


@cli.group()
def key() -> None:
    """Make, list and revoke keys: who may call the service, and for what.

    They are in API_KEYS_FILE, by their hashes alone; a service that runs goes by each change.
    """


_file = click.option(
    "--file",
    type=click.Path(dir_okay=False, path_type=Path),
    help="Where they are; API_KEYS_FILE where it is not given.",
)


@key.command("new")
@click.option("--name", required=True, help="What it is called in the log, and when it is revoked.")
@click.option(
    "--scope",
    "scopes",
    type=click.Choice(["predict", "read", "admin"]),
    multiple=True,
    required=True,
    help="What it is for; several times for several. `admin` has the other two.",
)
@click.option(
    "--model", "models", multiple=True, metavar="NAME", help="Which models; every one without it."
)
@_file
def new(name: str, scopes: tuple[str, ...], models: tuple[str, ...], file: Path | None) -> None:
    """Add a key to the file, and print it: this once."""
    from service.commands.key import KeyCommandError, new_key  # noqa: PLC0415 - see above

    try:
        made, sentence = new_key(_keys_file(file), name, scopes, models)
    except KeyCommandError as error:
        end(str(error), FAILED)
    # The key alone, so that a program can take it.
    click.echo(made)
    click.echo(sentence, err=True)


@key.command("list")
@_file
def list_keys(file: Path | None) -> None:
    """Show which keys there are, and what each is for."""
    from service.commands.key import KeyCommandError, listed_keys  # noqa: PLC0415 - see above

    try:
        lines = listed_keys(_keys_file(file))
    except KeyCommandError as error:
        end(str(error), FAILED)
    for line in lines:
        click.echo(line)


@key.command()
@click.argument("name")
@_file
def revoke(name: str, file: Path | None) -> None:
    """Take the key NAME out of the file."""
    from service.commands.key import KeyCommandError  # noqa: PLC0415 - see above
    from service.commands.key import revoke as take_out  # noqa: PLC0415 - the same

    try:
        click.echo(take_out(_keys_file(file), name))
    except KeyCommandError as error:
        end(str(error), FAILED)


def _keys_file(given: Path | None) -> Path:
    """Return the file of keys: the one that is given, or API_KEYS_FILE."""
    if given is not None:
        return given
    file = settings_of_service().api_keys_file
    if not file:
        end("set API_KEYS_FILE, or say which file by --file", WRONG_SETTING)
    return Path(file)


def _call_service(method: str, body: dict[str, str] | None, model: str) -> NoReturn:
    """Call `pin` of the service that these settings start; print what it says, and end."""
    from service.commands.remote import ServiceUnreachableError, call_pin  # noqa: PLC0415 - see above
    from service.settings.environment import (  # noqa: PLC0415 - the same
        load_settings,
        read_dotenv,
    )
    from service.settings.errors import SettingsError  # noqa: PLC0415 - the same

    try:
        read_dotenv()
        said = call_pin(load_settings(), method, body, model)
    except SettingsError as error:
        end(str(error), WRONG_SETTING)
    except ServiceUnreachableError as error:
        end(str(error), FAILED)
    click.echo(said.sentence, err=not said.good)
    sys.exit(0 if said.good else FAILED)
