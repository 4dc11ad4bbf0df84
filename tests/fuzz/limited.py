"""A limit on the time that a piece of our own code may take in this process."""

import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

LIMIT_S = 2.0
"""Seconds of the CPU, far beyond what any parser takes for a case of some kilobytes."""
_HANGS_S = 60.0
"""Seconds that go by, where it waits for something that never comes; a machine may be busy."""


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

    timers = {
        (signal.ITIMER_PROF, seconds): signal.signal(signal.SIGPROF, stop),
        (signal.ITIMER_REAL, _HANGS_S): signal.signal(signal.SIGALRM, stop),
    }
    for timer, after_s in timers:
        signal.setitimer(timer, after_s)
    try:
        yield
    except TooSlowError as late:
        raise AssertionError(f"it took over {seconds:g} s of CPU, and was at {late}") from None
    finally:
        for timer, _ in timers:
            signal.setitimer(timer, 0)
        for number, before in zip((signal.SIGPROF, signal.SIGALRM), timers.values(), strict=True):
            signal.signal(number, before)
