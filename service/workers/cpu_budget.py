"""The CPUs that this process may really use, shared out over all that is loaded."""

import os
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path

import anyio
from anyio import CapacityLimiter

MOST_OWN_WORKERS = 4
"""A version gets at most so many workers where their number is left to the service."""
_LOAD_WAIT_S = 10.0
"""A load waits for others at most this long: one that hangs must not hold up another model."""
_ROOT = Path("/")


class CpuBudget:
    """Shares the CPUs out over the deployments of a service, each with its number of workers."""

    def __init__(self, cpus: int) -> None:
        self._cpus = cpus
        self._claims: Sequence[int] = ()
        self._loads = CapacityLimiter(max(1, cpus))

    def share_among(self, workers: Sequence[int]) -> None:
        """Share among deployments with so many workers, 0 where that is left to the service.

        What is loaded already keeps what it has.
        """
        self._claims = workers

    def workers(self, wanted: int) -> int:
        """Return the wanted number of workers, or for 0 a share of the CPUs that are left."""
        if wanted:
            return wanted
        share = (self._cpus - 1) // max(1, len(self._claims))
        return max(1, min(MOST_OWN_WORKERS, share))

    def threads(self, wanted: int) -> int:
        """Return the wanted number of threads, or for 0 each worker's share of the CPUs."""
        return wanted or max(1, self._cpus // max(1, self._count()))

    def polling_s(self, wanted_s: float) -> float:
        """Return the wanted time, or 0 where the server process and every worker have no CPU each.

        A worker that polls instead of sleeping would take it from another, or use up the quota.
        Of a model's loaded versions the one that requests go to counts: a worker polls only while
        calls come closely, so a candidate and the version before sleep.
        """
        return wanted_s if self._cpus > self._count() else 0.0

    @asynccontextmanager
    async def load_turn(self) -> AsyncIterator[None]:
        """Let as many versions load together as there are CPUs; none waits for ever."""
        borrower = object()
        with anyio.move_on_after(_LOAD_WAIT_S):
            await self._loads.acquire_on_behalf_of(borrower)
        try:
            yield
        finally:
            if borrower in self._loads.statistics().borrowers:
                self._loads.release_on_behalf_of(borrower)

    def _count(self) -> int:
        """How many workers there are once each deployment serves one version."""
        return sum(map(self.workers, self._claims))


def usable_cpus(root: Path = _ROOT, by_affinity: int | None = None) -> int:
    """Count the CPUs that affinity and the cgroup's quota leave us, at least 1.

    A quota of 2.5 CPUs counts as 2: a thread more would only be throttled. `root` is where `proc`
    and `sys` are found; `by_affinity` is what affinity leaves, None where the system is to say.
    """
    count = _by_affinity() if by_affinity is None else by_affinity
    quota = _quota(root)
    return count if quota is None else max(1, min(count, int(quota)))


def _by_affinity() -> int:
    # Only Linux and some BSDs know of affinity.
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def _quota(root: Path) -> float | None:
    """Return the tightest CPU quota of our cgroup and those above it, None where there is none.

    Source: the kernel's `cgroup-v2.rst` (cpu.max) and `sched-bwc.rst` (cpu.cfs_quota_us).
    """
    quotas = []
    for line in (_read(root / "proc/self/cgroup") or "").splitlines():
        _, controllers, path = line.split(":", 2)
        if not controllers:
            quotas += [_quota_v2(folder) for folder in _upward(root / "sys/fs/cgroup", path)]
        elif "cpu" in controllers.split(","):
            for mount in ("cpu", "cpu,cpuacct"):
                base = root / "sys/fs/cgroup" / mount
                quotas += [_quota_v1(folder) for folder in _upward(base, path)]
    return min((quota for quota in quotas if quota is not None), default=None)


def _upward(base: Path, path: str) -> list[Path]:
    """List a cgroup's folder and all above it, up to the mount point.

    Inside a container the path may be the host's, and absent here: its last parent is then the
    mount point, which is the container's own cgroup.
    """
    folder = base / path.lstrip("/")
    if ".." in folder.parts:
        return [base]
    return [folder, *(parent for parent in folder.parents if parent.is_relative_to(base))]


def _quota_v2(folder: Path) -> float | None:
    match (_read(folder / "cpu.max") or "").split():
        case [quota, period] if quota.isdigit():
            return int(quota) / int(period)
        case _:
            return None


def _quota_v1(folder: Path) -> float | None:
    quota = _read(folder / "cpu.cfs_quota_us")
    period = _read(folder / "cpu.cfs_period_us")
    if quota is None or period is None or int(quota) <= 0:
        return None
    return int(quota) / int(period)


def _read(file: Path) -> str | None:
    try:
        return file.read_text(encoding="ascii")
    except (OSError, UnicodeDecodeError):
        return None
