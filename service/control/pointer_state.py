"""Remembers a pin and refusals of a pointer across restarts, in the pointer's file.

Several services that follow one pointer share that: each changes only what it has to, and takes up
a pin that another one has set.
"""

from collections.abc import Collection
from pathlib import Path
from typing import Final

import anyio.to_thread
import msgspec
import structlog
from anyio import CapacityLimiter

from service.control.quarantine import MOST_REFUSALS
from service.core.errors import StateUnreadableError
from service.core.versions import ModelVersion
from service.store.pointer_file import Memory, Refusal, file_of
from service.store.state_file import LOCK_S, LaterStateError, Signature

_MOST_LIFTED = 1000
"""More versions than these are let out only while nothing can be written for long."""
_REASON_LIMIT = 2000

_log = structlog.get_logger("remembered")


class _Unchanged:
    """Stands for 'no other pin'; None is one, since it takes the pin away."""


_UNCHANGED: Final = _Unchanged()


class PointerState:
    """Reads and writes one pointer's memory, in threads of its own.

    What can't be written is kept, and written with the next `recall`. Another service that writes
    is waited for up to `lock_s`.
    """

    def __init__(self, cache_dir: Path, pointer: str, lock_s: float = LOCK_S) -> None:
        self._pointer = pointer
        self._state = file_of(cache_dir, pointer, lock_s)
        self._limiter = CapacityLimiter(1)
        self.held = ""
        """Why it is unknown whether a version is pinned; '' where that is known."""
        self.trouble = ""
        """Why what is remembered is not on the disk; '' where it is."""
        self._known: Memory | None = None
        self._seen: object = _UNCHANGED
        self._pin: ModelVersion | _Unchanged | None = _UNCHANGED
        self._refusals: tuple[Refusal, ...] | None = None
        self.lifted: tuple[ModelVersion, ...] = ()
        """The versions whose refusals are still to go from the file, the latest last."""

    async def recall(self) -> Memory | None:
        """Return what is remembered where that has changed since the last call, else None.

        Nothing is raised: `held` and `trouble` say what could not be done.
        """
        return await anyio.to_thread.run_sync(self._recall, limiter=self._limiter)

    async def remember_pin(self, pin: ModelVersion | None) -> None:
        """Write down that this version is pinned, or none; `trouble` says where that failed."""
        self._pin = pin
        await anyio.to_thread.run_sync(self._write, limiter=self._limiter)

    async def remember_refusals(
        self, refusals: Collection[Refusal], lifted: Collection[ModelVersion]
    ) -> None:
        """Write down what is refused here, and what is no more; others' refusals stay."""
        self._refusals = tuple(map(_bounded, refusals))
        refused = {refusal.version for refusal in refusals}
        all_lifted = dict.fromkeys((*self.lifted, *lifted))
        self.lifted = tuple(v for v in all_lifted if v not in refused)[-_MOST_LIFTED:]
        await anyio.to_thread.run_sync(self._write, limiter=self._limiter)

    def _recall(self) -> Memory | None:
        if self._is_pending:
            self._write()
        if not isinstance(self._pin, _Unchanged):
            # It could not be written, and is newer than what is there.
            return None
        signature = self._signature()
        if signature == self._seen:
            return None
        try:
            memory = self._state.read()
        except StateUnreadableError as error:
            self._could_not_read(error)
            return None
        if memory is None and self._known is not None and self._known != Memory():
            # Somebody has removed it. What it said is in force here, and must outlast this process.
            self._pin = self._known.pin
            self._write()
            return None
        self._seen, self._known, self.held = signature, memory or Memory(), ""
        return self._known

    def _could_not_read(self, error: StateUnreadableError) -> None:
        if self._known is not None:
            # What it said is known here: it was damaged while this service ran.
            self._pin = self._known.pin
            self._write()
            return
        if not self.held:
            copy = self._state.keep_copy()
            kept = f" (a copy is {copy.name})" if copy else ""
            self.held = (
                "it is unknown whether a version is pinned, so nothing newly promoted is served "
                f"until somebody pins or unpins (hotswap pin VERSION, hotswap unpin): {error}{kept}"
            )
            _log.error("pin unknown", reason=str(error), copy=str(copy) if copy else None)

    @property
    def _is_pending(self) -> bool:
        return self._pin is not _UNCHANGED or self._refusals is not None or bool(self.lifted)

    def _signature(self) -> object:
        try:
            return self._state.signature()
        except OSError:
            # Whatever is wrong, reading it tells.
            return _Unchanged()

    def _write(self) -> None:
        try:
            written = self._written()
        except (OSError, StateUnreadableError) as error:
            if not self.trouble:
                _log.warning("memory can't be written", reason=str(error))
            self.trouble = f"pins and refusals can't be written down: {error}"
            return
        if written is None:
            return
        memory, signature = written
        is_own_pin = not isinstance(self._pin, _Unchanged)
        if is_own_pin or (self._known is not None and memory.pin == self._known.pin):
            self._known, self._seen = memory, signature
        # Else another service has pinned meanwhile, which the next call of `recall` returns.
        self._pin, self._refusals, self.lifted = _UNCHANGED, None, ()
        self.held = self.trouble = ""

    def _written(self) -> tuple[Memory, Signature] | None:
        """Write what is pending into the file; return its content, None where that must wait."""
        try:
            return self._state.update(self._merged)
        except StateUnreadableError as error:
            if self._known is None and isinstance(self._pin, _Unchanged):
                # Refusals alone: they wait until somebody has said which version is to serve.
                return None
            if self._known is not None and isinstance(error, LaterStateError):
                # A later service has it now, which must not lose what it wrote there.
                raise
            memory = self._merged(None)
            return memory, self._state.overwrite(memory)

    def _merged(self, found: Memory | None) -> Memory:
        found = found or self._known or Memory()
        refusals = {refusal.version: refusal for refusal in found.refusals}
        for version in self.lifted:
            refusals.pop(version, None)
        refusals.update({refusal.version: refusal for refusal in self._refusals or ()})
        pin = found.pin if isinstance(self._pin, _Unchanged) else self._pin
        return Memory(pin, tuple(refusals.values())[-MOST_REFUSALS:], self._pointer)


def _bounded(refusal: Refusal) -> Refusal:
    """Return what is small enough for a state file: a model's words may be long."""
    verdicts = tuple(
        msgspec.structs.replace(verdict, reason=verdict.reason[:_REASON_LIMIT])
        for verdict in refusal.verdicts
    )
    return Refusal(refusal.version, refusal.reason[:_REASON_LIMIT], verdicts)
