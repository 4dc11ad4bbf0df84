"""A thread that exports what is put into its queue, and for which nobody waits."""

import threading
from collections import deque
from collections.abc import Callable, Sequence
from typing import Generic, TypeVar

import structlog

T = TypeVar("T")

_log = structlog.get_logger("otlp")


class ExportThread(Generic[T]):
    """Exports items in the order in which they were put, up to `batch` of them together.

    Whatever the other side does, a `put` returns immediately: of more than `queue` items that wait
    the oldest are dropped. Items wait for `delay_s` at most, unless an export takes longer.
    """

    def __init__(
        self,
        name: str,
        export: Callable[[Sequence[T]], object],
        queue: int,
        batch: int,
        delay_s: float,
    ) -> None:
        self.dropped = 0
        """How many were dropped."""
        self._name = name
        self._export = export
        self._items: deque[T] = deque(maxlen=queue)
        self._most = queue
        self._batch = batch
        self._delay_s = delay_s
        self._due = threading.Event()
        self._is_ending = False
        # It keeps no process from ending.
        self._thread = threading.Thread(target=self._run, name=name, daemon=True)

    @property
    def is_alive(self) -> bool:
        """Whether it still exports."""
        return self._thread.is_alive()

    def start(self) -> None:
        """Begin to export."""
        self._thread.start()

    def put(self, item: T) -> None:
        """Have an item exported. Only for one thread, that of the event loop."""
        items = self._items
        if len(items) == self._most:
            self.dropped += 1
        items.append(item)
        if len(items) >= self._batch and not self._due.is_set():
            self._due.set()

    def end(self) -> None:
        """Have it end once all that waits is exported. It returns immediately."""
        self._is_ending = True
        self._due.set()

    def _run(self) -> None:
        told = 0
        while not self._is_ending:
            self._due.wait(self._delay_s)
            self._due.clear()
            self._export_all()
            if self.dropped > told:
                _log.warning("not exported in time", what=self._name, lost=self.dropped - told)
                told = self.dropped
        self._export_all()

    def _export_all(self) -> None:
        while self._items:
            batch: list[T] = []
            while self._items and len(batch) < self._batch:
                batch.append(self._items.popleft())
            try:
                self._export(batch)
            except Exception:  # noqa: BLE001 - a crash barrier: the next one may fare better
                _log.exception("export broke off", what=self._name)
