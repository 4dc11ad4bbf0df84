"""A worker's own folder with a version's files: what a model writes there is nobody else's.

Models write beside their artifacts: caches, locks, journals, whatever they unpack. In the store
that would be a change of what was verified, and the next worker would not load it.

Runs inside a worker. Files are shared with the store as far as that is safe: as clones where the
file system makes some (`FICLONE`: Btrfs, XFS), else small ones are copied and large ones linked, so
that a folder costs a few milliseconds whatever the model's size. Only a model that changes a large
file in place could reach the store through such a link. That is seen, and then all are copied.
"""

import contextlib
import os
import shutil
import stat
import sys
from pathlib import Path

from service.core.errors import FetchFailedError

if sys.platform == "linux":
    import fcntl

_FICLONE = 0x40049409
COPIED_BYTES = 2**20
"""A file up to this size is copied; a larger one is linked."""
_COPIED_IN_ALL_BYTES = 32 * 2**20
_NAMED = 3

_Look = tuple[int, int, int]


class ModelFolder:
    """The folder, once it is filled, and what became of it since."""

    def __init__(
        self, stored: Path, path: Path, *, copied: bool = False, clones: bool = True
    ) -> None:
        """Fill the folder, without links if `copied`, and without clones unless `clones`.

        Raise FetchFailedError where the disk does not let us, which says nothing of the version.
        """
        self.path = path
        self._linked: set[str] = set()
        self._left_bytes = _COPIED_IN_ALL_BYTES
        self._may_link = not copied
        self.clones = clones and sys.platform == "linux"
        """Whether the file system makes clones, as far as that is known."""
        try:
            self._fill(stored)
        except OSError as error:
            shutil.rmtree(path, ignore_errors=True)
            raise FetchFailedError(
                f"no worker can get a folder of its own below CACHE_DIR: {error.strerror}"
            ) from error
        self._filled = self._look()

    @property
    def changes(self) -> tuple[str, ...]:
        """What the model has added, removed or changed here, path by path."""
        now = self._look()
        return tuple(
            path
            for path in sorted(self._filled.keys() | now.keys())
            if self._filled.get(path) != now.get(path)
        )

    @property
    def has_reached_the_store(self) -> bool:
        """Whether a file that it shares with the store was changed in place."""
        now = self._look()
        return any(
            path in now
            and now[path] != self._filled[path]
            and now[path][0] == self._filled[path][0]
            for path in self._linked
        )

    def _fill(self, stored: Path) -> None:
        for folder, _, names in os.walk(stored):
            below = Path(folder).relative_to(stored)
            (self.path / below).mkdir(parents=True, exist_ok=True)
            for name in names:
                self._share(Path(folder) / name, self.path / below / name)

    def _share(self, source: Path, target: Path) -> None:
        # A link within the version becomes the file that it leads to.
        source = source.resolve()
        if self._clones(source, target):
            return
        size = source.stat().st_size
        if self._may_link and (size > COPIED_BYTES or size > self._left_bytes):
            try:
                os.link(source, target)
            except OSError:
                # Another file system, or one without links.
                self._may_link = False
            else:
                self._linked.add(target.relative_to(self.path).as_posix())
                return
        self._left_bytes -= size
        shutil.copyfile(source, target)

    def _clones(self, source: Path, target: Path) -> bool:
        """Make a file that shares the other's blocks until one is written; tell if that is so."""
        if sys.platform != "linux" or not self.clones:
            return False
        with source.open("rb") as read, target.open("wb") as written:
            try:
                fcntl.ioctl(written.fileno(), _FICLONE, read.fileno())
            except OSError:
                self.clones = False
        if not self.clones:
            target.unlink()
        return self.clones

    def _look(self) -> dict[str, _Look]:
        """Return which file stands at each path, and when and at which size it was last written."""
        seen: dict[str, _Look] = {}
        for folder, folders, names in os.walk(self.path):
            for name in (*names, *folders):
                file = Path(folder) / name
                # One that is gone by now was temporary.
                with contextlib.suppress(FileNotFoundError):
                    seen[file.relative_to(self.path).as_posix()] = _look(file)
        return seen


def _look(file: Path) -> _Look:
    found = file.lstat()
    # A folder's own time says only that something in it came or went.
    is_file = not stat.S_ISDIR(found.st_mode)
    return found.st_ino, is_file * found.st_size, is_file * found.st_mtime_ns


def told(changes: tuple[str, ...]) -> str:
    """Say for a verdict what a model changed; '' where it changed nothing."""
    if not changes:
        return ""
    named = ", ".join(changes[:_NAMED])
    more = f" and {len(changes) - _NAMED} more" if len(changes) > _NAMED else ""
    return f"it writes beside its artifacts ({named}{more}): each worker has a copy of its own"
