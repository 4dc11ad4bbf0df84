"""What is put into an export's queue, and what becomes of it."""

import threading
from collections.abc import Sequence

from service.telemetry.otlp.export_thread import ExportThread

LIMIT_S = 10.0


class Sink:
    """Takes batches, and holds up whatever brings them while it is told to."""

    def __init__(self) -> None:
        self.batches: list[list[int]] = []
        self.holding = threading.Event()
        self.go_on = threading.Event()
        self.came = threading.Semaphore(0)

    def take(self, batch: Sequence[int]) -> None:
        """Keep a batch; raise for one that has a negative number."""
        self.batches.append(list(batch))
        self.came.release()
        if self.holding.is_set():
            assert self.go_on.wait(LIMIT_S)
        if min(batch) < 0:
            raise ValueError("it is negative")


def ended(thread: ExportThread[int]) -> None:
    """End it, and wait until it has ended."""
    thread.end()
    thread._thread.join(LIMIT_S)
    assert not thread.is_alive


def test_what_waits_is_exported_in_batches_and_in_order() -> None:
    """As soon as a batch is full, and at the end what is left."""
    sink = Sink()
    thread = ExportThread("t", sink.take, queue=100, batch=3, delay_s=3600)
    thread.start()
    for number in range(3):
        thread.put(number)
    assert sink.came.acquire(timeout=LIMIT_S)
    thread.put(3)
    ended(thread)
    assert sink.batches == [[0, 1, 2], [3]]


def test_of_too_many_the_oldest_are_dropped_and_nobody_waits() -> None:
    """While an export hangs; they are counted."""
    sink = Sink()
    sink.holding.set()
    thread = ExportThread("t", sink.take, queue=2, batch=1, delay_s=3600)
    thread.start()
    thread.put(0)
    assert sink.came.acquire(timeout=LIMIT_S)
    for number in range(1, 6):
        thread.put(number)
    assert thread.dropped == 3
    sink.go_on.set()
    ended(thread)
    assert sink.batches == [[0], [4], [5]]


def test_an_export_that_raises_ends_nothing() -> None:
    """The next one is tried."""
    sink = Sink()
    thread = ExportThread("t", sink.take, queue=9, batch=1, delay_s=3600)
    thread.start()
    thread.put(-1)
    assert sink.came.acquire(timeout=LIMIT_S)
    thread.put(1)
    ended(thread)
    assert sink.batches == [[-1], [1]]
