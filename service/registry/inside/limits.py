"""How much a registry process may read and hold, whatever a registry answers; runs there alone.

MLflow's client reads an answer whole before it looks at it. One that never ends would take all the
memory that there is.
"""

import contextlib
import os
import re
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NoReturn

import requests
import requests.adapters

from service import windows

MAX_ANSWER_BYTES = 16_000_000
"""A larger answer that is no file is refused."""
ENTRY_BYTES = 4_096
"""An empty file or folder counts for this much, which is about what it takes of a disk."""
_LOOK_EVERY_S = 0.2
_LOOK_SHARE = 10
"""Looks at a large folder take at most one part in this many of the time."""
_CHUNK_BYTES = 65_536
_RANGE = re.compile(r"bytes=(\d{1,19})-(\d{1,19})")
_OK = 300
_KB = 1024


class AnswerTooLargeError(requests.RequestException):
    """An answer of more bytes than are read."""


class FolderTooLargeError(OSError):
    """More files, or longer ones, than a folder may have."""


def limit_answers() -> None:
    """Have `requests`, which MLflow asks by, read no more of an answer than is allowed.

    A file is streamed to the disk, and is not limited here; an error or a redirection in its place
    is. So is what does not say how long it is. To be called once in a process.
    """
    adapter: Any = requests.adapters.HTTPAdapter
    send = adapter.send

    def send_within_limits(self: Any, request: Any, *others: Any, **options: Any) -> Any:
        response = send(self, request, *others, **options)
        stream = others[0] if others else options.get("stream", False)
        if not stream or response.status_code >= _OK:
            _read(response, _limit(request))
        return response

    adapter.send = send_within_limits


def limit_memory(more_bytes: int) -> None:
    """Let this process hold so much more than it does; what asks for more gets a MemoryError.

    The last limit, for whatever is held without an answer's being read. On Linux alone.
    """
    if sys.platform != "linux":
        return
    import resource  # noqa: PLC0415 - POSIX only

    limit = _data_bytes() + more_bytes
    _, hard = resource.getrlimit(resource.RLIMIT_DATA)
    if hard != resource.RLIM_INFINITY:
        limit = min(limit, hard)
    resource.setrlimit(resource.RLIMIT_DATA, (limit, hard))


@contextlib.contextmanager
def file_size_limited(size_bytes: int) -> Iterator[None]:
    """Let no file that this process writes meanwhile become larger: that is an OSError."""
    if not windows.has_limits():
        yield
        return
    import resource  # noqa: PLC0415 - POSIX only

    before, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    # A lower limit, which the operator has set, stays.
    limit = size_bytes if before == resource.RLIM_INFINITY else min(size_bytes, before)
    resource.setrlimit(resource.RLIMIT_FSIZE, (limit, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (before, hard))


@contextlib.contextmanager
def folder_size_limited(folder: Path, size_bytes: int) -> Iterator[None]:
    """Let a folder become no larger meanwhile, whatever writes there: else this process ends.

    It is looked at some times a second, and once more afterwards. Each file and folder in it counts
    for ENTRY_BYTES beside its content. Raise FolderTooLargeError where that last look finds more.
    """
    is_over = threading.Event()
    watcher = threading.Thread(
        target=_watch_size, args=(folder, size_bytes, is_over), name="folder-size", daemon=True
    )
    watcher.start()
    try:
        yield
    finally:
        is_over.set()
        watcher.join()
    if _folder_bytes(folder) > size_bytes:
        raise FolderTooLargeError(f"what comes takes more than {size_bytes} bytes of the disk")


def _watch_size(folder: Path, size_bytes: int, is_over: threading.Event) -> None:
    pause_s = _LOOK_EVERY_S
    while not is_over.wait(pause_s):
        started_s = time.monotonic()
        if _folder_bytes(folder) > size_bytes:
            # An exception would reach nothing that waits for the registry's next byte.
            _end(f"what comes takes more than {size_bytes} bytes of the disk")
        pause_s = max(_LOOK_EVERY_S, _LOOK_SHARE * (time.monotonic() - started_s))


def _folder_bytes(folder: Path) -> int:
    """Return what a folder takes, as far as it can be seen while files come and go in it."""
    size_bytes = 0
    for at, folders, names in os.walk(folder):
        size_bytes += ENTRY_BYTES * (len(folders) + len(names))
        for name in names:
            with contextlib.suppress(OSError):
                size_bytes += (Path(at) / name).lstat().st_size
    return size_bytes


def end_for_memory(doing: str) -> NoReturn:
    """End this process, which has no memory left: a new one begins with what it needs."""
    _end(f"{doing} took more memory than it may have")


def _end(reason: str) -> NoReturn:
    sys.stderr.write(f"it ends, since {reason}\n")
    sys.stderr.flush()
    os._exit(1)


def _limit(request: Any) -> int:
    """Return how long an answer may be: as long as the part of a file that was asked for."""
    part = _RANGE.fullmatch(str(request.headers.get("Range") or ""))
    if part is None:
        return MAX_ANSWER_BYTES
    return max(MAX_ANSWER_BYTES, int(part[2]) - int(part[1]) + 1)


def _read(response: Any, limit: int) -> None:
    """Read an answer as `requests` would. Raise AnswerTooLargeError."""
    parts: list[bytes] = []
    size = 0
    for chunk in response.iter_content(_CHUNK_BYTES):
        size += len(chunk)
        if size > limit:
            response.close()
            raise AnswerTooLargeError(f"the answer has more than {limit} bytes")
        parts.append(chunk)
    # As `Response.content` leaves it.
    response._content = b"".join(parts)  # noqa: SLF001 - there is no public way
    response._content_consumed = True  # noqa: SLF001


def _data_bytes() -> int:
    """Return what the limit counts (`man 2 getrlimit`): this process's data."""
    status = Path("/proc/self/status").read_text(encoding="ascii", errors="replace")
    for line in status.splitlines():
        if line.startswith("VmData:"):
            return int(line.split()[1]) * _KB
    return 0
