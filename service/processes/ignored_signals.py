"""Signals that do nothing: the default of each would end the service without a drain."""

import signal
import threading
from collections.abc import Callable
from types import FrameType

NAMES = ("SIGHUP", "SIGUSR1", "SIGUSR2")
"""Not every system has them."""


def ignore_signals() -> None:
    """Ignore them from now on, and in what is started from now on."""
    for number in _numbers():
        signal.signal(number, signal.SIG_IGN)


def tell_ignored_signals(tell: Callable[[str], None]) -> None:
    """Ignore them, and have `tell` called with the name of each that comes, in a thread."""

    def handle(number: int, _: FrameType | None) -> None:
        # The handler may have come in the middle of another line of the log: a thread waits.
        name = signal.Signals(number).name
        threading.Thread(target=tell, args=(name,), daemon=True).start()

    for number in _numbers():
        signal.signal(number, handle)


def _numbers() -> list[int]:
    return [getattr(signal, name) for name in NAMES if hasattr(signal, name)]
