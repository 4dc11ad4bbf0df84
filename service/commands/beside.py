"""What a command does before and after its work, where that goes by the service's settings."""

import sys
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, NoReturn, TypeVar

import rich_click as click

if TYPE_CHECKING:
    from service.credentials import Credentials
    from service.settings.service import ServiceSettings
    from service.settings.settings import Settings

Answer = TypeVar("Answer")

WRONG_SETTING = 2
FAILED = 1


def beside_the_service(run: Callable[["Settings", "Credentials"], Awaitable[Answer]]) -> Answer:
    """Run what asks the registry without serving; it gets the settings, and the credentials.

    Those are then nowhere in the environment. A wrong setting ends the process.
    """
    import anyio  # noqa: PLC0415 - `--help` answers quickly

    from service.credentials import withhold  # noqa: PLC0415 - the same
    from service.processes.own_memory import hide_memory  # noqa: PLC0415 - the same
    from service.settings.environment import (  # noqa: PLC0415 - the same
        load_settings,
        read_dotenv,
    )
    from service.settings.errors import SettingsError  # noqa: PLC0415 - the same
    from service.telemetry.logging import configure_logging  # noqa: PLC0415 - the same

    try:
        read_dotenv()
        settings = load_settings()
        configure_logging("error", settings.service.log_format)
        hide_memory()
        return anyio.run(run, settings, withhold(settings.service.worker_env))
    except SettingsError as error:
        end(str(error), WRONG_SETTING)


def tell_beside_the_service(
    run: Callable[["Settings", "Credentials"], Awaitable[str]], failed: str
) -> None:
    """Print what comes of `run`, which is run as `beside_the_service` does.

    A ServiceError ends the process with a line that begins with `failed`, such as `not signed`.
    """
    from service.core.errors import ServiceError  # noqa: PLC0415 - `--help` answers quickly

    try:
        click.echo(beside_the_service(run))
    except ServiceError as error:
        end(f"{failed}: {error}", FAILED)


def settings_of_service() -> "ServiceSettings":
    """Return the service's settings. A wrong one ends the process."""
    from service.settings.environment import (  # noqa: PLC0415 - the same
        load_service_settings,
        read_dotenv,
    )
    from service.settings.errors import SettingsError  # noqa: PLC0415 - the same

    try:
        read_dotenv()
        return load_service_settings()
    except SettingsError as error:
        end(str(error), WRONG_SETTING)


def end(line: str, status: int) -> NoReturn:
    """End the process with one line for a person."""
    click.echo(line, err=True)
    sys.exit(status)
