"""Shows how a service stands: once, or each second until Ctrl-C."""

import contextlib
import json
import os
import signal
import sys
import time
from collections.abc import Callable
from typing import NoReturn

import click
import msgspec
from rich.console import Console
from rich.live import Live

from service.commands.status.document import ServiceStatus
from service.commands.status.looking import look
from service.commands.status.table import shown
from service.settings.service import ServiceSettings

_INTERVAL_S = 1.0
"""Seconds from the beginning of a look to the next one."""
_PIPE_WIDTH = 160
"""The characters of a line where no terminal says how many it has."""
_INTERRUPTED = 128 + signal.SIGINT
_TERMINATED = 128 + signal.SIGTERM

Show = Callable[[ServiceStatus], None]


def run_status(service: ServiceSettings, *, watch: bool, as_json: bool) -> int:
    """Show how the service stands, once or until Ctrl-C; return the status to end with.

    That is the last look's: 0 where every model can answer, 1 where some can't, 2 where the
    service does not answer.
    """
    # A name that the terminal's encoding lacks is shown by its escapes.
    sys.stdout.reconfigure(errors="backslashreplace")  # type: ignore[union-attr]
    console = _console()
    if watch:
        return _watch(service, console, as_json=as_json)
    seen = look(service)
    (_print_json if as_json else _printer(console))(seen)
    return seen.exit_status


def _watch(service: ServiceSettings, console: Console, *, as_json: bool) -> int:
    # Its default would leave a terminal without a cursor.
    signal.signal(signal.SIGTERM, _end)
    status = _INTERRUPTED
    with contextlib.suppress(KeyboardInterrupt), contextlib.ExitStack() as stack:
        show: Show = _print_json if as_json else _printer(console)
        if console.is_terminal and not as_json:
            live = stack.enter_context(Live(console=console, auto_refresh=False))
            show = _refresher(live)
        while True:
            began = time.monotonic()
            seen = look(service)
            # Before it is shown: Ctrl-C may come in between.
            status = seen.exit_status
            show(seen)
            time.sleep(max(0.0, began + _INTERVAL_S - time.monotonic()))
    return status


def _print_json(seen: ServiceStatus) -> None:
    # Escapes for all that is not ASCII: a name can't speak to a terminal.
    click.echo(json.dumps(msgspec.to_builtins(seen), ensure_ascii=True))


def _printer(console: Console) -> Show:
    def show(seen: ServiceStatus) -> None:
        console.print(shown(seen))
        console.file.flush()

    return show


def _refresher(live: Live) -> Show:
    def show(seen: ServiceStatus) -> None:
        live.update(shown(seen), refresh=True)

    return show


def _console() -> Console:
    """Return where the table goes. In a pipe it has no colours, and a width of its own."""
    has_width = sys.stdout.isatty() or "COLUMNS" in os.environ
    return Console(
        width=None if has_width else _PIPE_WIDTH, markup=False, highlight=False, emoji=False
    )


def _end(*_: object) -> NoReturn:
    sys.exit(_TERMINATED)
