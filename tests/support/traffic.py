"""Requests that are sent to a service while something breaks: all of them are answered."""

import contextlib
from collections.abc import Iterator

from tests.support import footprint
from tests.support.footprint import Footprint
from tools.load import STEADY_S, Hammer
from tools.running_service import RunningService


@contextlib.contextmanager
def steady_traffic(service: RunningService, clients: int, usual: Footprint) -> Iterator[Hammer]:
    """Send requests meanwhile: all are answered, and then nothing more is taken than usual."""
    with Hammer(service.url, clients, pause_s=STEADY_S) as hammer:
        service.wait_until(lambda: all(hammer.seen), "answers before the fault")
        yield hammer
        count = len(hammer.all)
        service.wait_until(lambda: len(hammer.all) > count + clients, "answers after it")
    assert hammer.failed == []
    footprint.wait_back_to(service, usual)
