"""Where compiled predictors are kept: `compiled/<version's key>/<fingerprint>/` in CACHE_DIR.

Predictors that are ready immediately are kept beside it, under the same name and `-first`. Each
such folder has `files/`, and `manifest.json` that says what is in there. It is written aside and
renamed into place; it is checked against its manifest before anything is opened.
"""

import contextlib
import functools
import hashlib
import platform
import shutil
import sys
import uuid
from collections.abc import Callable
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

import msgspec

from service.core.environments import SHARED, Environment
from service.core.errors import StoreCorruptError
from service.core.versions import StoredVersion
from service.store.compiled_files import verified

_FORMAT = 3
"""The form of the files: counted up whenever an older one could not be opened any more."""
_LIBRARIES = (
    "scikit-learn",
    "numpy",
    "pandas",
    "mlflow",
    "llvmlite",
    "onnxruntime",
    "skl2onnx",
    "treelite",
    "xgboost",
    "xgboost-cpu",
    "lightgbm",
)
_KEPT_OF_A_VERSION = 8
_FIRST = "-first"


Machine = tuple[object, ...]
"""What a compiled file depends on, as `machine` tells it."""


class CompiledFiles:
    """The folders of every version's compiled predictors. Everything here blocks."""

    def __init__(self, root: Path, aside: Path, rtol: float) -> None:
        """`root` is `CACHE_DIR/compiled`; `aside` is on the same disk, and this service's own."""
        self._root = root
        self._aside = aside
        self.rtol = rtol
        self._machine = functools.cache(machine)

    def place(
        self,
        stored: StoredVersion,
        threads: int,
        environment: Environment = SHARED,
        *,
        first: bool = False,
    ) -> Path:
        """Return where a version's compiled predictors are, or would be, on this machine.

        Beside it is where the `first` of them are, those that are ready immediately.
        """
        here = _with_libraries_of(environment, self._machine())
        key = fingerprint(here, stored.digest, threads, self.rtol)
        return self._root / stored.version.key / (key + _FIRST * first)

    def new(self) -> Path:
        """Return a folder that does not exist yet, to be filled and then kept."""
        return self._aside / f"compiled-{uuid.uuid4().hex}"

    def keep(self, filled: Path, place: Path) -> None:
        """Rename a filled folder into its place, unless there is a good one by now. Raise OSError.

        Another service may have been quicker, and its workers may be reading what it put there.
        """
        with contextlib.suppress(StoreCorruptError):
            verified(place)
            return
        place.parent.mkdir(parents=True, exist_ok=True)
        old = self.new()
        with contextlib.suppress(FileNotFoundError):
            place.replace(old)
        try:
            filled.replace(place)
        finally:
            self.drop(old)
        self._drop_oldest(place)

    def drop(self, folder: Path) -> None:
        """Remove a folder that nobody needs."""
        shutil.rmtree(folder, ignore_errors=True)

    def _drop_oldest(self, newest: Path) -> None:
        """Keep a few of a version's folders: several services may differ in threads."""
        others = [folder for folder in newest.parent.iterdir() if folder != newest]
        with contextlib.suppress(OSError):
            others.sort(key=lambda folder: folder.stat().st_mtime)
        for folder in others[: max(0, len(others) + 1 - _KEPT_OF_A_VERSION)]:
            self.drop(folder)


def installed_version(name: str) -> str:
    """Return a package's version, '' where it is not installed."""
    try:
        return version(name)
    except PackageNotFoundError:
        return ""


def kind_of_cpu() -> str:
    """Name the kind of CPU, on which it depends what is fastest."""
    try:
        for line in Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    except OSError:
        pass
    return platform.processor()


def machine(
    installed: Callable[[str], str] = installed_version, cpu: Callable[[], str] = kind_of_cpu
) -> Machine:
    """Return what is the same for all versions of a service: what it runs on, and with.

    Asked once: libraries that are installed later are not those that its fork server has.
    """
    return (
        platform.python_version(),
        sys.platform,
        platform.machine(),
        cpu(),
        tuple((name, installed(name)) for name in _LIBRARIES),
    )


def _with_libraries_of(environment: Environment, here: Machine) -> Machine:
    """Return what a compiled file depends on that was made in this environment.

    Its key stands for all of its libraries, and those of ours mean nothing there.
    """
    if environment.is_shared:
        return here
    _, *others, _ = here
    return (environment.python, *others, environment.key)


def fingerprint(here: Machine, digest: str, threads: int, rtol: float) -> str:
    """Return what names all that the files and the timings in them depend on."""
    parts = (_FORMAT, digest, threads, rtol, *here)
    return hashlib.sha256(msgspec.json.encode(parts)).hexdigest()[:16]
