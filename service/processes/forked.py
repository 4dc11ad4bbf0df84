"""A process that the fork server of an environment has forked, as the server process sees it."""

import contextlib
import os
import select
import signal
import sys

from service.processes.guardian import reap_marked


class ForkedProcess:
    """Tied to this process by `alive`, whose other end it has; `status` says how it ended.

    Nobody knows that where the fork server ends or hangs before it has told.
    """

    def __init__(self, pid: int, mark: int, alive: int, status: int) -> None:
        self.pid = pid
        self._mark = mark
        self._descriptors = [alive, status]
        self._status = status
        self._exit_code: int | None = None

    @property
    def exitcode(self) -> int | None:
        """How it ended: a status, or the negative number of a signal; None where nobody knows."""
        return self._exit_code

    def join(self, timeout: float) -> None:
        """Wait for its status once it has ended, and let go of it."""
        if not self._descriptors:
            return
        told = select.poll()
        told.register(self._status, select.POLLIN)
        if told.poll(timeout * 1000):
            status = os.read(self._status, 4)
            if status:
                self._exit_code = int.from_bytes(status, sys.byteorder, signed=True)
        # Where its parent has ended before it, it may be this process's to reap.
        reap_marked(self._mark)
        self.close()

    def kill(self) -> None:
        """Kill it."""
        with contextlib.suppress(ProcessLookupError):
            os.kill(self.pid, signal.SIGKILL)

    def close(self) -> None:
        """Close what it was tied to this process by."""
        while self._descriptors:
            os.close(self._descriptors.pop())
