"""How a child waits for its next call: asleep, or for a moment awake where calls come closely.

To wake a process whose CPU has gone idle takes longer than the rest of a lone request's way there
and back. So a child that was called again within some microseconds polls for as long the next time,
and gives its CPU to any other process that wants it meanwhile.

Where another one does, it sleeps until its call. The scheduler wakes a sleeper on a CPU that is
free, but leaves one that never slept where it is: behind a model that loads, beside a CPU with
nothing to do.
"""

import select
import time
from multiprocessing.connection import Connection
from typing import Any

from service import windows

_TAKEN_S = 1e-4
"""A CPU that was offered and comes back later than this was wanted by another process."""


class PollingReceiver:
    """Receives frames; `busy_poll_s` is how long it polls before it sleeps; 0 is not at all."""

    def __init__(self, connection: "Connection[Any, Any]", busy_poll_s: float) -> None:
        self._connection = connection
        # What can't be polled has nothing to look at without a lock and an allocation.
        self._busy_poll_s = busy_poll_s if windows.polls_pipes() else 0.0
        self._is_called_closely = False
        if windows.polls_pipes():
            self._arrived = select.poll()
            self._arrived.register(connection.fileno(), select.POLLIN)

    def has_frame(self) -> bool:
        """Tell whether the next frame has begun to arrive, or there will be none."""
        if not windows.polls_pipes():
            return self._connection.poll()
        return bool(self._arrived.poll(0))

    def receive(self) -> bytes:
        """Wait for the next frame. Raise EOFError or OSError where there will be none."""
        if not self._busy_poll_s:
            return self._connection.recv_bytes()
        began = time.perf_counter()
        if self._is_called_closely:
            self._poll_busily(began + self._busy_poll_s)
        frame = self._connection.recv_bytes()
        self._is_called_closely = time.perf_counter() - began < self._busy_poll_s
        return frame

    def _poll_busily(self, until: float) -> None:
        """Return once something has arrived, the time is over, or the CPU was wanted."""
        now = time.perf_counter()
        while not self._arrived.poll(0) and now < until:
            offered = now
            windows.offer_cpu()
            now = time.perf_counter()
            if now - offered > _TAKEN_S:
                return
