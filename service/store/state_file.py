"""A small JSON file that several services read and change, and that no crash leaves half written.

It says which layout it has, and has a digest of its content: a changed byte is damage, never
another content. What can't be read is never written over before a copy of it is kept.
"""

import contextlib
import errno
import hashlib
import os
import stat
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Generic, TypeVar

import filelock
import msgspec

from service import windows
from service.core.errors import StateUnreadableError
from service.store import files

T = TypeVar("T")

Signature = tuple[int, int, int] | None
"""A value that changes whenever the file does; None for a file that is missing."""

MOST_BYTES = 4 * 2**20
"""A larger file is not read: it is none of ours."""
LOCK_S = 2.0
"""Another service that changes the file is waited for up to this time; it needs milliseconds."""
_KEPT_COPIES = 5
_NOT_READABLE = (msgspec.MsgspecError, RecursionError, ValueError, OverflowError)


class LaterStateError(StateUnreadableError):
    """A state file that a later service wrote, in a layout that is not known here."""


class _Head(msgspec.Struct):
    layout: int | None = None


class _Envelope(msgspec.Struct, forbid_unknown_fields=True):
    layout: int
    digest: str
    state: msgspec.Raw


class StateFile(Generic[T]):
    """One file, whose content is a `kind`. Every method blocks.

    `layout` is what is written, `read_older` reads a file that names no layout. Raise OSError
    where the disk, or another holder of the file's lock for longer than `lock_s`, does not let us.
    """

    def __init__(
        self,
        file: Path,
        kind: type[T],
        layout: int,
        read_older: Callable[[bytes], T] | None = None,
        lock_s: float = LOCK_S,
    ) -> None:
        self.file = file
        self._kind = kind
        self._layout = layout
        self._read_older = read_older
        self._lock_s = lock_s

    def signature(self) -> Signature:
        """Return the file's signature as it is now."""
        try:
            found = self.file.lstat()
        except FileNotFoundError:
            return None
        return found.st_ino, found.st_mtime_ns, found.st_size

    def read(self) -> T | None:
        """Return the content, None where there is no file.

        Raise StateUnreadableError where there is something that can't be read, LaterStateError
        where a later service wrote it.
        """
        try:
            content = files.read_small(self.file, MOST_BYTES)
        except FileNotFoundError:
            return None
        except OSError as error:
            raise StateUnreadableError(f"{self.file}: {error.strerror or error}") from error
        try:
            return self._decoded(content)
        except _NOT_READABLE as error:
            reason = str(error)[:200] or type(error).__name__
            raise StateUnreadableError(f"{self.file} is damaged: {reason}") from error

    def update(self, change: Callable[[T | None], T]) -> tuple[T, Signature]:
        """Write what `change` makes of the content, while nobody else changes it.

        Return what was written, and its signature. Raise StateUnreadableError as `read` does:
        then nothing was written.
        """
        with self._locked():
            changed = change(self.read())
            self._write(changed)
            return changed, self.signature()

    def overwrite(self, content: T) -> Signature:
        """Write over what is there, readable or not, of which a copy is kept."""
        with self._locked():
            if self.keep_copy() is None and os.path.lexists(self.file):
                files.move(self.file, self._copy_name(os.urandom(8)))
            self._write(content)
            return self.signature()

    def keep_copy(self) -> Path | None:
        """Keep a copy of the file beside it; return its path, None where there is none to keep.

        One for each content, a few in all.
        """
        try:
            content = files.read_small(self.file, MOST_BYTES)
            copy = self._copy_name(content)
            if not copy.exists():
                self._drop_oldest_copies()
                _write_durably(copy, content)
        except OSError:
            # Too large, a folder, or the like: `overwrite` moves it aside.
            return None
        return copy

    def _decoded(self, content: bytes) -> T:
        layout = msgspec.json.decode(content, type=_Head).layout
        if layout is None:
            if self._read_older is None:
                raise ValueError("it names no layout")
            return self._read_older(content)
        if layout > self._layout:
            raise LaterStateError(
                f"{self.file} has layout {layout}, and {self._layout} is the latest known here"
            )
        if layout != self._layout:
            raise ValueError(f"its layout {layout} is not known")
        envelope = msgspec.json.decode(content, type=_Envelope)
        state = bytes(envelope.state)
        if envelope.digest != hashlib.sha256(state).hexdigest():
            raise ValueError("it does not have the digest that it names")
        return msgspec.json.decode(state, type=self._kind)

    def _write(self, content: T) -> None:
        state = msgspec.json.encode(content)
        digest = hashlib.sha256(state).hexdigest()
        whole = msgspec.json.encode(_Envelope(self._layout, digest, msgspec.Raw(state)))
        if len(whole) > MOST_BYTES:
            # Nobody could read it.
            raise OSError(errno.EFBIG, f"it would have {len(whole)} bytes", str(self.file))
        _write_durably(self.file, whole)

    def _copy_name(self, content: bytes) -> Path:
        digest = hashlib.sha256(content).hexdigest()[:12]
        return self.file.with_name(f"{self.file.stem}.unreadable-{digest}")

    def _drop_oldest_copies(self) -> None:
        copies = sorted(
            self.file.parent.glob(f"{self.file.stem}.unreadable-*"),
            key=lambda copy: copy.lstat().st_mtime_ns,
        )
        for copy in copies[: max(0, len(copies) + 1 - _KEPT_COPIES)]:
            files.remove(copy)

    @contextlib.contextmanager
    def _locked(self) -> Iterator[None]:
        self.file.parent.mkdir(parents=True, exist_ok=True)
        lock = filelock.FileLock(self.file.with_suffix(".lock"), thread_local=False)
        try:
            lock.acquire(timeout=self._lock_s)
        except filelock.Timeout:
            reason = f"another process holds its lock for more than {self._lock_s:g} s"
            raise OSError(errno.EBUSY, reason, str(self.file)) from None
        try:
            yield
        finally:
            lock.release()


def _write_durably(file: Path, content: bytes) -> None:
    """Write a file, whole or not at all, also where the power fails. The caller holds its lock."""
    aside = file.with_name(f"{file.name}.new")
    files.remove(aside)
    try:
        flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | getattr(os, "O_BINARY", 0)
        with os.fdopen(os.open(aside, flags, stat.S_IRUSR | stat.S_IWUSR), "wb") as opened:
            opened.write(content)
            opened.flush()
            os.fsync(opened.fileno())
        files.move(aside, file)
    except OSError:
        with contextlib.suppress(OSError):
            files.remove(aside)
        raise
    if windows.syncs_folders():
        folder = os.open(file.parent, os.O_RDONLY)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)
