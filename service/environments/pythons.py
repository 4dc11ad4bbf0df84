"""Which Python a version's environment is made of: one that is installed, or that uv may fetch."""

import os
import platform
import re
import sys
from pathlib import Path

import anyio.to_thread
import msgspec

from service.core.environments import BuildProgress
from service.core.errors import EnvironmentNotBuiltError, EnvironmentRefusedError
from service.core.text import NAME_CHARACTERS, presentable
from service.environments.outcomes import error_of
from service.environments.uv import Progress, Uv, Watch

_VERSION = re.compile(r"(\d{1,2}\.\d{1,3})(?:\.\d{1,3}(?:\w{1,8})?)?")
_FIND_S = 60.0
_OLDEST = (3, 10)
"""What runs inside a worker runs on no older one."""
_ASK = "import platform; print(platform.python_implementation(), platform.python_version())"
_SHIMS = "shims"
_BEHIND_SHIMS = ("versions/*/bin", "installs/python/*/bin")
"""Where pyenv, and asdf and mise, have the Pythons that their shims stand for."""
_NEVER_FETCHED = frozenset({"never", "manual", "false", "0"})


class Python(msgspec.Struct, frozen=True):
    """An interpreter by its absolute path, and its full version, such as `3.12.1`."""

    path: str
    version: str


class Pythons:
    """Finds interpreters by their minor version, and knows those that it has found."""

    def __init__(self, uv: Uv) -> None:
        self._uv = uv
        self._known: dict[str, tuple[Python, int]] = {}

    async def find(self, wanted: str, limit_s: float, progress: Progress) -> Python:
        """Return an interpreter of the same minor version as `wanted`, or as ours where it is ''.

        Raise EnvironmentRefusedError where there is none and none may be fetched.
        """
        minor = minor_of(wanted or platform.python_version())
        known = self._known.get(minor)
        if known is not None and await _time_of(known[0].path) == known[1]:
            return known[0]
        path = await self._installed(minor) or await self._fetched(minor, limit_s, progress)
        version = await self._version_of(path)
        python = Python(path, version)
        self._known[minor] = python, await _time_of(path)
        return python

    async def _installed(self, minor: str) -> str:
        """Return an interpreter that is installed, '' where uv finds none."""
        path = await anyio.to_thread.run_sync(without_shims, self._uv.variables.get("PATH", ""))
        for variables in ({"PATH": path}, {"PATH": path, **self._own_folder()}):
            found = await self._uv.run(
                ["python", "find", minor, "--system", "--no-project", "--no-python-downloads"],
                limit_s=_FIND_S,
                variables=variables,
            )
            if not found.status and found.lines:
                return found.lines[-1].strip()
        ours = str(getattr(sys, "_base_executable", "") or sys.executable)
        return ours if minor == minor_of(platform.python_version()) else ""

    async def _fetched(self, minor: str, limit_s: float, progress: Progress) -> str:
        """Have uv fetch an interpreter, where it may. Raise EnvironmentRefusedError."""
        looked = f"no Python {minor} is installed (looked for by `uv python find {minor}`)"
        allowed = self._uv.variables.get("UV_PYTHON_DOWNLOADS", "automatic").lower()
        if allowed in _NEVER_FETCHED:
            raise EnvironmentRefusedError(
                f"{looked}, and none may be fetched (UV_PYTHON_DOWNLOADS={allowed})"
            )
        progress(BuildProgress("python", f"Python {minor} is fetched"))
        ended = await self._uv.run(
            ["python", "install", minor, "--no-bin"],
            limit_s=limit_s,
            variables=self._own_folder(),
            watch=Watch("python", progress),
        )
        if ended.status:
            raise error_of(f"{looked}, and fetching one failed", ended)
        path = await self._installed(minor)
        if not path:
            raise EnvironmentNotBuiltError(f"{looked}, nor after it was fetched")
        return path

    def _own_folder(self) -> dict[str, str]:
        """Return how uv is told to fetch into a folder of ours, unless the operator named one."""
        named = self._uv.variables.get("UV_PYTHON_INSTALL_DIR", "")
        return {"UV_PYTHON_INSTALL_DIR": named or str(self._uv.pythons)}

    async def _version_of(self, path: str) -> str:
        """Return an interpreter's full version, as it says itself. Raise for what can't be used."""
        found = await self._uv.run_other([path, "-I", "-S", "-c", _ASK], limit_s=_FIND_S)
        kind, _, version = (found.lines[-1] if found.lines else "").partition(" ")
        shown = presentable(path, NAME_CHARACTERS)
        if found.status or not _VERSION.fullmatch(version):
            raise EnvironmentNotBuiltError(f"{shown} does not say which Python it is")
        if kind != "CPython":
            raise EnvironmentRefusedError(f"{shown} is {kind} and no CPython")
        return version


def minor_of(version: str) -> str:
    """Return major and minor of a version, such as `3.12`. Raise EnvironmentRefusedError."""
    found = _VERSION.fullmatch(version.strip())
    if found is None:
        shown = presentable(version, NAME_CHARACTERS)
        raise EnvironmentRefusedError(f"it names {shown!r} as its Python, which is no version")
    if tuple(map(int, found[1].split("."))) < _OLDEST:
        raise EnvironmentRefusedError(
            f"it was logged with Python {version}; workers run on 3.10 and later"
        )
    return found[1]


def without_shims(path: str) -> str:
    """Return PATH with the Pythons that version managers have in place of their shims.

    A shim of a version that is installed and not chosen fails, and uv then looks no further. The
    newest come first. Folders of that name that have nothing behind them come last.
    """
    found: list[str] = []
    last: list[str] = []
    for folder in path.split(os.pathsep):
        place = Path(folder)
        if place.name != _SHIMS:
            found.append(folder)
            continue
        behind = [one for pattern in _BEHIND_SHIMS for one in place.parent.glob(pattern)]
        found += [str(one) for one in sorted(behind, key=_numbers_of, reverse=True)]
        if not behind:
            last.append(folder)
    return os.pathsep.join(found + last)


def _numbers_of(installed: Path) -> tuple[int, ...]:
    """Return the numbers of a version's folder, none for one by another name."""
    name = installed.parent.name
    return tuple(map(int, re.findall(r"\d{1,6}", name))) if name[:1].isdigit() else ()


async def _time_of(path: str) -> int:
    def time_of() -> int:
        try:
            return Path(path).stat().st_mtime_ns
        except OSError:
            return 0

    return await anyio.to_thread.run_sync(time_of)
