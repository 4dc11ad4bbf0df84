"""Start a child by command line, in any interpreter: the second way beside the fork server."""

import os
import subprocess
from collections.abc import Callable, Mapping, Sequence
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

from service import windows
from service.processes.guardian import reap_marked, set_mark
from service.processes.launch import group_signals_blocked, guard
from service.processes.output import OutputEnd

ENTRY = Path(__file__).with_name("inside") / "entry.py"


class CommandProcess:
    """A process that was started so, with what is asked of a process of multiprocessing's.

    `alive` is a descriptor that nobody else has: the process is ended once it is closed.
    """

    def __init__(self, process: subprocess.Popen[bytes], alive: int, mark: int) -> None:
        self.pid = process.pid
        self._mark = mark
        self._process = process
        self._alive = alive

    @property
    def exitcode(self) -> int | None:
        """How it ended: a status, or the negative number of a signal; None while it runs."""
        return self._process.poll()

    def join(self, timeout: float) -> None:
        """Wait for its end, and take its status."""
        try:
            self._process.wait(timeout)
        except subprocess.TimeoutExpired:
            return
        # Not before: its own status is for `wait`, above.
        reap_marked(self._mark)

    def kill(self) -> None:
        """Kill it."""
        self._process.kill()

    def close(self) -> None:
        """Close what it was tied to this process by, once it has ended."""
        os.close(self._alive)


def launch_command(
    interpreter: Path,
    connection: "Connection[Any, Any]",
    output: OutputEnd,
    mark: int,
    is_given_up: Callable[[], bool],
    *,
    variables: Mapping[str, str] | None = None,
    descriptors: Sequence[int] = (),
) -> CommandProcess:
    """Start `interpreter` with the program of a child, which then waits for what it is to run.

    That is the first frame it gets, and never part of its command line or first environment, which
    anybody may read. `variables` are that environment, None for this process's own; `descriptors`
    are kept open in it.

    Raise OSError where the system will not start it, ConnectionAbortedError once the start is given
    up.
    """
    if not windows.starts_other_interpreters():
        raise OSError("on this system a child can't be started in another interpreter")
    if is_given_up():
        raise ConnectionAbortedError("the start was given up")
    guard.ensure_running()
    ours_is_alive, alive = os.pipe()
    try:
        with group_signals_blocked():
            process = subprocess.Popen(  # noqa: S603 - an interpreter that the caller names, our file
                # No byte code is written: our folder is not that interpreter's.
                [interpreter, "-B", ENTRY, str(connection.fileno()), str(ours_is_alive)],
                stdin=subprocess.DEVNULL,
                stdout=output.fileno(),
                stderr=output.fileno(),
                env=variables,
                pass_fds=(connection.fileno(), ours_is_alive, *descriptors),
                # What is sent to the server process's group is not for it.
                process_group=0,
            )
    except BaseException:
        os.close(alive)
        raise
    finally:
        os.close(ours_is_alive)
    # The child does so itself as well, once it runs: until then it can be found by this.
    set_mark(process.pid, mark)
    return CommandProcess(process, alive, mark)
