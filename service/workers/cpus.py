"""How many CPUs this process may really use."""

import os
from pathlib import Path

_ROOT = Path("/")


def usable_cpus(root: Path = _ROOT) -> int:
    """Count the CPUs that affinity and the cgroup's quota leave us, at least 1.

    A quota of 2.5 CPUs counts as 2: a thread more would only be throttled. `root` is where `proc`
    and `sys` are found.
    """
    count = _by_affinity()
    quota = _quota(root)
    return count if quota is None else max(1, min(count, int(quota)))


def threads_for_each_worker(threads_per_worker: int, workers: int) -> int:
    """Return the wished number of threads, or for 0 each worker's share of the usable CPUs."""
    return threads_per_worker or max(1, usable_cpus() // workers)


def spin_for_each_worker(wished_s: float, workers: int) -> float:
    """Return the wished time, or 0 where the front and every worker have no CPU each.

    Who looks out instead of sleeping would take it from another, or use up the cgroup's quota.
    """
    return wished_s if usable_cpus() > workers else 0.0


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
