"""Threads of the server process for what blocks on its children."""

import threading

from anyio import CapacityLimiter

from service.processes.launch import interrupt_first_start
from service.processes.memory_watch import MemoryWatch


class ChildThreads:
    """Threads for what blocks on children: one start at a time, and joins beside it."""

    def __init__(self) -> None:
        self.starting = CapacityLimiter(1)
        self.joining = CapacityLimiter(64)
        self.memory = MemoryWatch()
        self.given_up = threading.Event()
        self.has_started_one = False

    def give_up_first_start(self) -> None:
        """Have the first start fail where it is still under way. Blocks for a moment."""
        if not self.has_started_one:
            self.given_up.set()
            interrupt_first_start()
