"""uv, as this service runs it: with variables and a cache of its own, and never a user's settings.

All that is known of uv's options and of what it prints is in here and in `outcomes.py` (0.13).
"""

import importlib
import re
import shutil
import time
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import TypeVar

import anyio
import anyio.to_thread
from anyio import CapacityLimiter, from_thread

from service.core.environments import BuildProgress
from service.core.errors import EnvironmentNotBuiltError
from service.core.text import presentable
from service.environments.outcomes import error_of
from service.environments.program import Ended, run_program
from service.environments.variables import plain_variables

Progress = Callable[[BuildProgress], None]
"""Is told how far a build is. It is called in the event loop."""

T = TypeVar("T")

_TELL_EVERY_S = 0.5
_IN_USE = re.compile(r"\bin-use\b")
"""Its last words where it waits for another uv, and has removed nothing."""
_CLEAN_S = 30.0
_UNITS = {"B": 1, "KiB": 2**10, "MiB": 2**20, "GiB": 2**30}
_RESOLVED = re.compile(r"Resolved (\d{1,9}) packages?")
_DOWNLOADING = re.compile(r"Downloading (\S+) \(([\d.]{1,20})(B|KiB|MiB|GiB)\)")
_DONE = re.compile(r"\s?(?:Downloaded|Built) (\S+)")
_PREPARED = re.compile(r"Prepared (\d{1,9}) packages?")
_INSTALLED = re.compile(r"Installed (\d{1,9}) packages?")


def find_uv() -> str:
    """Return the path of uv: that of the package `uv`, else the one on PATH; '' for none."""
    try:
        found: str = importlib.import_module("uv").find_uv_bin()
    except (ImportError, FileNotFoundError):
        return shutil.which("uv") or ""
    return found


class Watch:
    """What uv's lines say of how far it is. Called in the thread that reads them."""

    def __init__(self, step: str, progress: Progress | None) -> None:
        self.downloaded_bytes = 0
        self.packages = 0
        self.done = 0
        self.prepared_s = 0.0
        """Monotonic seconds at which all was downloaded; 0 before."""
        self._step = step
        self._progress = progress
        self._told_s = 0.0

    def read(self, line: str) -> None:
        """Take a line, and tell of it where the last time is a while ago."""
        detail = ""
        if found := _RESOLVED.match(line):
            self.packages = int(found[1])
        elif found := _DOWNLOADING.match(line):
            self.downloaded_bytes += int(float(found[2]) * _UNITS[found[3]])
            detail = found[1]
        elif found := _DONE.match(line):
            self.done += 1
            detail = found[1]
        elif found := _PREPARED.match(line) or _INSTALLED.match(line):
            self.done = int(found[1])
            self.prepared_s = time.monotonic()
        else:
            return
        now = time.monotonic()
        if self._progress is not None and now - self._told_s > _TELL_EVERY_S:
            self._told_s = now
            told = BuildProgress(
                self._step, detail, self.packages, self.done, self.downloaded_bytes
            )
            from_thread.run_sync(self._progress, told)


class Uv:
    """Runs uv, in threads of `limiter`."""

    def __init__(
        self, folder: Path, temp_dir: Path, variables: Mapping[str, str], limiter: CapacityLimiter
    ) -> None:
        """`folder` is on the disk that environments are on, so that files may be cloned."""
        self.folder = folder
        self.cache = folder / ".uv"
        self._emptying = folder / ".uv-emptying"
        """Is there while the cache is emptied, and afterwards if that was cut off."""
        self.pythons = folder / ".pythons"
        """Pythons that uv has fetched, unless the operator names another folder."""
        self.variables = {
            **variables,
            "UV_CACHE_DIR": str(self.cache),
            "UV_NO_CONFIG": "1",
            "UV_NO_WRAP": "1",
            "NO_COLOR": "1",
            "TMPDIR": str(temp_dir),
        }
        self._temp_dir = temp_dir
        self._limiter = limiter

    async def run(
        self,
        arguments: Sequence[str | Path],
        *,
        limit_s: float,
        variables: Mapping[str, str] | None = None,
        folder: Path | None = None,
        watch: Watch | None = None,
    ) -> Ended:
        """Run uv to its end; a cancelled call kills it. Raise EnvironmentNotBuiltError.

        That is for a uv which can't be run or was ended: how it ended by itself is returned. A
        cache that was half emptied is emptied first.
        """
        binary = await self._binary()
        if await self._in_thread(self._emptying.exists):
            await self.clean()
        ended = await self._run(
            [binary, *arguments],
            variables={**self.variables, **(variables or {})},
            folder=folder,
            limit_s=limit_s,
            on_line=_ignored if watch is None else watch.read,
        )
        if ended.cut:
            raise EnvironmentNotBuiltError(f"uv was ended, since {ended.cut}")
        return ended

    async def clean(self) -> None:
        """Empty uv's cache, unless another uv is at work with it. Raise EnvironmentNotBuiltError.

        Where it is ended half way, part of a package may be left, which uv would take for a whole
        one: so a mark stays until a later call has come to the end.
        """
        await self._in_thread(self._emptying.touch)
        ended = await self._run(
            [await self._binary(), "cache", "clean"],
            variables=self.variables,
            folder=None,
            limit_s=_CLEAN_S,
            on_line=_ignored,
        )
        is_waiting = bool(ended.lines) and bool(_IN_USE.search(ended.lines[-1]))
        if not ended.status or is_waiting:
            await self._in_thread(partial(self._emptying.unlink, missing_ok=True))
        if ended.status:
            # Whatever it is, it says nothing of a version.
            why = ended.cut or "; ".join(ended.lines[-1:])
            raise EnvironmentNotBuiltError(f"uv's cache was not emptied: {presentable(why)}")

    async def _in_thread(self, call: Callable[[], T]) -> T:
        try:
            return await anyio.to_thread.run_sync(call, limiter=self._limiter)
        except OSError as error:
            raise EnvironmentNotBuiltError(f"uv's cache: {error.strerror}") from None

    async def _binary(self) -> str:
        binary = await anyio.to_thread.run_sync(find_uv, limiter=self._limiter)
        if not binary:
            raise EnvironmentNotBuiltError(
                "uv is not installed, which builds environments: install the extra `environments`"
            )
        return binary

    async def run_other(
        self,
        command: Sequence[str | Path],
        *,
        limit_s: float,
        on_line: Callable[[str], None] | None = None,
    ) -> Ended:
        """Run another program, with no variable that holds a credential."""
        return await self._run(
            command,
            variables={**plain_variables(self.variables), "TMPDIR": str(self._temp_dir)},
            folder=None,
            limit_s=limit_s,
            on_line=on_line or _ignored,
        )

    async def _run(
        self,
        command: Sequence[str | Path],
        *,
        variables: Mapping[str, str],
        folder: Path | None,
        limit_s: float,
        on_line: Callable[[str], None],
    ) -> Ended:
        run = partial(
            run_program,
            command,
            variables=variables,
            folder=folder or self._temp_dir,
            limit_s=limit_s,
            on_line=on_line,
        )
        try:
            return await anyio.to_thread.run_sync(run, limiter=self._limiter)
        except OSError as error:
            shown = Path(command[0]).name
            raise EnvironmentNotBuiltError(
                f"{shown} can't be run: {error.strerror or error}"
            ) from error

    async def must(self, what: str, arguments: Sequence[str | Path], **options: object) -> Ended:
        """Run uv, and raise what went wrong: `what` says in words what it could not do.

        Raise EnvironmentRefusedError for what another try can't mend, else
        EnvironmentNotBuiltError.
        """
        ended = await self.run(arguments, **options)  # type: ignore[arg-type]
        if ended.status:
            raise error_of(what, ended)
        return ended


def _ignored(_: str) -> None:
    """Take a line that nobody waits for."""
