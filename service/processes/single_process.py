"""One front for each service: a second one would load every model again and swap on its own."""

import multiprocessing
import os
import signal
import sys
from types import FrameType
from typing import NoReturn

SENTENCE = (
    "hotswap serves from one process and was started with several: drop uvicorn's or litestar's "
    "--workers (or WEB_CONCURRENCY), and set WORKERS for more worker processes behind it."
)
_GRACE_S = 10.0
_STARTUP_FAILURE = 3  # uvicorn's own code for an application that does not start


def refuse_many_workers() -> None:
    """End this process and uvicorn's supervisor if there are several workers; else do nothing.

    `--reload` starts a child of its own too, but only one, and is fine.
    """
    if _one_of_several(sys._getframe()):  # noqa: SLF001 - the documented way to one's own stack
        _end_all()


def _one_of_several(frame: FrameType | None) -> bool:
    """Whether the stack began in a child of uvicorn's, started as one of several.

    Nothing in a child's environment or arguments says so reliably (the supervisor's command line
    is not passed on where it was called from Python), but its first call holds the configuration.
    """
    while frame is not None:
        module = frame.f_globals.get("__name__")
        if module == "uvicorn._subprocess" and frame.f_code.co_name == "subprocess_started":
            config = frame.f_locals["config"]
            return bool(config.workers > 1 and not config.should_reload)
        frame = frame.f_back
    return False


def _end_all() -> NoReturn:
    supervisor = multiprocessing.parent_process()
    if multiprocessing.current_process().name.endswith("-1"):
        # The first child speaks for all. Any softer signal ends the supervisor with status 0, and
        # a child's own end makes it start another, or (since uvicorn 0.5x) end with 0 as well.
        sys.stderr.write(f"{SENTENCE}\n")
        sys.stderr.flush()
        if supervisor is not None and supervisor.pid is not None:
            os.kill(supervisor.pid, getattr(signal, "SIGKILL", signal.SIGTERM))
    elif supervisor is not None:
        supervisor.join(_GRACE_S)
    # Not SystemExit: uvicorn would log it with a traceback.
    os._exit(_STARTUP_FAILURE)
