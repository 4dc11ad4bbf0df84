"""What the figures were measured on."""

import os
import platform
from importlib.metadata import version
from pathlib import Path
from typing import Self

import msgspec
import psutil

_PACKAGES = ("mlflow", "scikit-learn", "pandas", "numpy", "litestar", "uvicorn", "fastapi")


class Machine(msgspec.Struct, frozen=True):
    """A machine, and what is installed on it."""

    processor: str
    cores: int
    memory_bytes: int
    system: str
    python: str
    packages: dict[str, str]

    @classmethod
    def here(cls) -> Self:
        """Return this one."""
        return cls(
            _processor(),
            len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else _cpus(),
            psutil.virtual_memory().total,
            f"{platform.system()} {platform.release().partition('-')[0]}",
            platform.python_version(),
            {name: version(name) for name in _PACKAGES},
        )

    @property
    def sentence(self) -> str:
        """For readers."""
        packages = ", ".join(f"{name} {number}" for name, number in self.packages.items())
        return (
            f"{self.processor}, {self.cores} cores, {self.memory_bytes / 2**30:.0f} GB, "
            f"{self.system}, Python {self.python}; {packages}"
        )


def _cpus() -> int:
    return os.cpu_count() or 1


def _processor() -> str:
    told = Path("/proc/cpuinfo")
    lines = told.read_text("utf-8").splitlines() if told.exists() else []
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return next(iter(names), platform.processor() or platform.machine())
