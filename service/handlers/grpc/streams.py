"""Calls that stay open: watches of health, and reflection. Only so many are, and of one address."""

from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager

from service.core.errors import OverloadedError

MOST = 1_024
"""Far fewer than there may be calls, so that those for predictions always find room."""
MOST_OF_ONE = 128
"""From one address: a stranger's streams leave room for a load balancer's."""


class Streams:
    """Counts the streams that are open, by the addresses that they come from."""

    def __init__(self) -> None:
        self._open: Counter[str] = Counter()

    @contextmanager
    def opened(self, peer: str) -> Iterator[None]:
        """Count one meanwhile; `peer` is as gRPC has it, such as `ipv4:127.0.0.1:4711`.

        Raise OverloadedError where there are as many as may be.
        """
        address, _, _ = peer.rpartition(":")
        if self._open.total() >= MOST or self._open[address] >= MOST_OF_ONE:
            raise OverloadedError("too many streams are open", reason="streams")
        self._open[address] += 1
        try:
            yield
        finally:
            self._open[address] -= 1
            if not self._open[address]:
                del self._open[address]
