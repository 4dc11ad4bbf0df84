"""Signals that do nothing: the default of each would end the service without a drain."""

import signal
import threading
from types import FrameType

import structlog

NAMES = ("SIGHUP", "SIGUSR1", "SIGUSR2")
"""Windows has none of them."""


def ignore_signals() -> None:
    """Ignore them from now on, and in what is started from now on."""
    for number in _numbers():
        signal.signal(number, signal.SIG_IGN)


def tell_ignored_signals() -> None:
    """Ignore them, with a line in the log for each that comes."""
    for number in _numbers():
        signal.signal(number, _tell)


def _numbers() -> list[int]:
    return [getattr(signal, name) for name in NAMES if hasattr(signal, name)]


def _tell(number: int, _: FrameType | None) -> None:
    # A signal handler, which may have come in the middle of another line: a thread waits its turn.
    log = structlog.get_logger(__name__)
    name = signal.Signals(number).name
    told = threading.Thread(
        target=log.warning, args=("signal ignored",), kwargs={"signal": name}, daemon=True
    )
    told.start()
