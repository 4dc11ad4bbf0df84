"""What a service remembers of a pointer across restarts: a pin, and what was refused.

One small JSON file for each pointer, below CACHE_DIR beside the versions. Several services that
follow one pointer share it; the last to write wins.
"""

import hashlib
from pathlib import Path

import anyio.to_thread
import msgspec
import structlog
from anyio import CapacityLimiter

from service.core.verdicts import Verdict
from service.core.versions import ModelVersion
from service.registry import _files as files

_log = structlog.get_logger("remembered")


class Refusal(msgspec.Struct, frozen=True):
    """A version that was refused: the sentence, and every verdict up to it."""

    version: ModelVersion
    reason: str
    verdicts: tuple[Verdict, ...] = ()


class Memory(msgspec.Struct, frozen=True):
    """What is remembered. `pin` is the version that serves whatever the registry says."""

    pin: ModelVersion | None = None
    refusals: tuple[Refusal, ...] = ()


class Remembered:
    """Reads and writes one pointer's memory, in threads of its own."""

    def __init__(self, cache_dir: Path, pointer: str) -> None:
        name = hashlib.sha256(pointer.encode()).hexdigest()[:16]
        self._file = cache_dir / "pointers" / f"{name}.json"
        self._limiter = CapacityLimiter(1)

    async def recall(self) -> Memory:
        """Return what was remembered, nothing where that can't be read: it is told in the log."""
        return await anyio.to_thread.run_sync(self._read, limiter=self._limiter)

    async def remember(self, memory: Memory) -> None:
        """Write it down. A disk that does not let us is told in the log and harms nothing else."""
        await anyio.to_thread.run_sync(self._write, memory, limiter=self._limiter)

    def _read(self) -> Memory:
        try:
            return msgspec.json.decode(self._file.read_bytes(), type=Memory)
        except FileNotFoundError:
            return Memory()
        except (OSError, msgspec.MsgspecError, UnicodeDecodeError) as error:
            _log.warning("memory can't be read", file=str(self._file), reason=str(error))
            return Memory()

    def _write(self, memory: Memory) -> None:
        try:
            self._file.parent.mkdir(parents=True, exist_ok=True)
            files.write_whole(self._file, memory)
        except OSError as error:
            _log.warning("memory can't be written", file=str(self._file), reason=str(error))
