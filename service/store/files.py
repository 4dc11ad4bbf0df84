"""The store's work on files: plain functions that block, called in its threads."""

import contextlib
import errno
import os
import shutil
import stat
import sys
import time
import uuid
from collections.abc import Callable
from pathlib import Path
from typing import Any

import filelock
import msgspec

from service import windows
from service.core.errors import FetchFailedError, StoreCorruptError
from service.core.versions import ModelVersion
from service.store import manifest

USES = "uses.json"
_RECORD = "version.json"
_MODEL = "model"
_MOST_BYTES = 4 * 2**20
_NO_RECORD = frozenset({errno.ENOENT, errno.ENOTDIR, errno.EINVAL, errno.ELOOP, errno.EFBIG})
"""These errors say that a path is no file which could be a record; others may pass."""
_RENAME_TRIES = 10
_RENAME_PAUSE_S = 0.1


class Record(msgspec.Struct, frozen=True):
    """The content of version.json."""

    version: ModelVersion
    digest: str


def explain(error: OSError, cache_dir: Path) -> str:
    """Return a sentence on a disk that does not let us, that names what to do."""
    if error.errno == errno.ENOSPC:
        return f"there is no space left on the disk of CACHE_DIR ({cache_dir})"
    if error.errno in {errno.EACCES, errno.EPERM, errno.EROFS}:
        return (
            f"CACHE_DIR ({cache_dir}) can't be written ({error.strerror}); "
            "make it writable for this service, or set CACHE_DIR to a folder that is"
        )
    if error.errno in {errno.ENOTDIR, errno.EEXIST}:
        return f"CACHE_DIR ({cache_dir}) is no folder ({error.strerror}); set it to one"
    return f"CACHE_DIR ({cache_dir}) fails: {error}"


def names(folder: Path) -> list[str]:
    """Return the names in a folder, none where it is missing."""
    try:
        return sorted(item.name for item in folder.iterdir())
    except FileNotFoundError:
        return []


def try_write(folder: Path) -> None:
    """Raise OSError where nothing can be written there; existing folders say nothing of that."""
    probe = folder / f"probe~{uuid.uuid4().hex}"
    probe.touch()
    # Another service that starts now may have removed it as a leftover.
    probe.unlink(missing_ok=True)


def record(
    fetched: Path,
    folder: Path,
    version: ModelVersion,
    between: Callable[[], None] = manifest.go_on,
) -> str:
    """Make of a fetched model a version's folder, read-only, and return the manifest's digest.

    `between` is called between chunks of files: what it raises ends this.
    """
    if not fetched.resolve().is_relative_to(folder.parent.resolve()):
        raise FetchFailedError(f"the model was fetched to {fetched}, which is not where it belongs")
    folder.mkdir()
    model = folder / _MODEL
    move(fetched, model)
    try:
        content = manifest.build(model, between)
    except StoreCorruptError as error:
        raise FetchFailedError(f"the fetched model can't be stored: {error}") from error
    manifest.write(folder / manifest.MANIFEST_NAME, content)
    (folder / _RECORD).write_bytes(msgspec.json.encode(Record(version, content.digest)))
    # MLflow copies rights with files, so that they may be any. A folder that is read-only could not
    # be renamed into place.
    for found in folder.rglob("*"):
        if not found.is_symlink():
            found.chmod(stat.S_IRWXU if found.is_dir() else stat.S_IRUSR)
    return content.digest


def read_small(file: Path, most_bytes: int) -> bytes:
    """Return a regular file's content, without ever waiting for it. Raise OSError.

    A pipe or a device could keep us for ever, a link could lead anywhere, and a huge file could
    take all memory.
    """
    if not stat.S_ISREG(file.lstat().st_mode):
        raise OSError(errno.EINVAL, "it is no regular file", str(file))
    flags = ("O_NONBLOCK", "O_NOFOLLOW", "O_CLOEXEC", "O_BINARY")
    opened = os.open(file, os.O_RDONLY | sum(getattr(os, flag, 0) for flag in flags))
    with os.fdopen(opened, "rb") as content:
        # Again: it may be another one by now.
        if not stat.S_ISREG(os.fstat(opened).st_mode):
            raise OSError(errno.EINVAL, "it is no regular file", str(file))
        found = content.read(most_bytes + 1)
    if len(found) > most_bytes:
        raise OSError(errno.EFBIG, f"it has more than {most_bytes} bytes", str(file))
    return found


def read_version(folder: Path) -> Record | None:
    """Return what a version's folder says of itself, None where it does not."""
    try:
        return msgspec.json.decode(read_small(folder / _RECORD, _MOST_BYTES), type=Record)
    except (msgspec.MsgspecError, ValueError, RecursionError):
        return None
    except OSError as error:
        if error.errno not in _NO_RECORD:
            raise
        return None


def check(folder: Path, version: ModelVersion, between: Callable[[], None] = manifest.go_on) -> str:
    """Return the digest of a stored version. Raise StoreCorruptError if it is not as recorded."""
    recorded = read_version(folder)
    if recorded is None or recorded.version != version:
        raise StoreCorruptError(f"{folder.name} does not say which version it is")
    manifest.verify_stored(folder / _MODEL, recorded.digest, between)
    return recorded.digest


def move(source: Path, target: Path) -> None:
    """Rename a folder, or a file over another.

    A scanner or a reader may hold a file for a moment, where that hinders: try again then.
    """
    for tries_left in reversed(range(_RENAME_TRIES)):
        try:
            source.replace(target)
        except PermissionError:
            if not (windows.holds_open_files() and tries_left):
                raise
            time.sleep(_RENAME_PAUSE_S)
        else:
            return


def remove(path: Path) -> None:
    """Remove a folder or file, read-only ones too; a missing one is fine."""
    if path.is_dir() and not path.is_symlink():
        if sys.version_info >= (3, 12):
            shutil.rmtree(path, onexc=_make_writable)
        else:
            shutil.rmtree(path, onerror=_make_writable)
    else:
        path.unlink(missing_ok=True)


def _make_writable(function: Callable[..., Any], path: str, error: object) -> None:
    """Try once more on a file that is read-only, which some systems do not delete."""
    reason = error[1] if isinstance(error, tuple) else error
    if isinstance(reason, FileNotFoundError):
        return
    if not isinstance(reason, PermissionError):
        raise reason if isinstance(reason, BaseException) else OSError(path)
    for writable in (Path(path).parent, Path(path)):
        with contextlib.suppress(OSError):
            writable.chmod(stat.S_IRWXU if writable.is_dir() else stat.S_IRUSR | stat.S_IWUSR)
    function(path)


def try_lock(lock: filelock.BaseFileLock) -> bool:
    """Take a lock if nobody holds it. Its folder is made."""
    Path(lock.lock_file).parent.mkdir(parents=True, exist_ok=True)
    try:
        lock.acquire(blocking=False)
    except filelock.Timeout:
        return False
    return True


def release(lock: filelock.BaseFileLock) -> None:
    """Give a lock back. What marked a use is deleted with it; other locks' files stay."""
    lock.release(force=True)
    if Path(lock.lock_file).parent.parent.name == "in-use":
        with contextlib.suppress(OSError):
            Path(lock.lock_file).unlink(missing_ok=True)


def is_held(folder: Path) -> bool:
    """Whether anyone uses the version of an in-use folder; removes the marks of the dead.

    The caller holds the version's lock, so that no mark is being made.
    """
    for name in names(folder):
        mark = filelock.FileLock(folder / name, thread_local=False)
        if not try_lock(mark):
            return True
        release(mark)
    return False


def read_uses(file: Path) -> dict[str, int]:
    """Return the order of last uses, none where it can't be read: it is a hint, and no more."""
    try:
        return msgspec.json.decode(read_small(file, _MOST_BYTES), type=dict[str, int])
    except (OSError, msgspec.MsgspecError, ValueError, RecursionError):
        return {}


def add_use(file: Path, folder: Path, key: str) -> None:
    """Make `key` the last used one of the versions in `folder`.

    Numbers, not times: a clock may be set back.
    """
    uses = read_uses(file)
    kept = {name: uses[name] for name in names(folder) if name in uses}
    if file.exists() and not file.is_file():
        move(file, file.with_name(f"{file.name}.{uuid.uuid4().hex}"))
    write_whole(file, {**kept, key: max(uses.values(), default=0) + 1})
    # Says when, roughly: what nobody has used for months goes.
    with contextlib.suppress(OSError):
        os.utime(folder / key)


def write_whole(file: Path, content: object) -> None:
    """Write a file as JSON, whole or not at all; no two may write the same one together."""
    aside = file.with_suffix(".new")
    remove(aside)
    aside.write_bytes(msgspec.json.encode(content))
    move(aside, file)
