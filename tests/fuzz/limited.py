"""A limit on the time that a piece of our own code may take in this process."""

import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

LIMIT_S = 2.0
"""Far beyond what any parser takes for a case of some kilobytes; a machine may be busy."""


class TooSlowError(BaseException):
    """It took longer; no handler of `Exception` may take it for one of its own."""


@contextmanager
def limited(seconds: float = LIMIT_S) -> Iterator[None]:
    """Raise AssertionError where the block takes longer. In the main thread; not on Windows."""
    if sys.platform == "win32":
        yield
        return

    def stop(_: int, frame: FrameType | None) -> None:
        where = f"{frame.f_code.co_filename}:{frame.f_lineno}" if frame else "somewhere"
        raise TooSlowError(where)

    before = signal.signal(signal.SIGALRM, stop)
    signal.setitimer(signal.ITIMER_REAL, seconds)
    try:
        yield
    except TooSlowError as late:
        raise AssertionError(f"it took over {seconds:g} s, and was at {late}") from None
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)
