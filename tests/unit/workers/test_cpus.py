from pathlib import Path

import pytest

from service.workers import cpus
from service.workers.cpus import spin_for_each_worker, threads_for_each_worker, usable_cpus


@pytest.fixture(autouse=True)
def eight_cpus(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let every machine have the same number."""
    monkeypatch.setattr(cpus, "_by_affinity", lambda: 8)


def write(root: Path, files: dict[str, str]) -> Path:
    """Lay out files below a root that stands for /."""
    for name, text in files.items():
        file = root / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text)
    return root


def test_without_cgroups_affinity_decides(tmp_path: Path) -> None:
    """On other systems there is neither /proc nor /sys."""
    assert usable_cpus(tmp_path) == 8


@pytest.mark.parametrize(
    ("quota", "count"),
    [("max 100000", 8), ("400000 100000", 4), ("250000 100000", 2), ("50000 100000", 1)],
)
def test_a_v2_quota_limits_the_count(tmp_path: Path, quota: str, count: int) -> None:
    """Part of a CPU is rounded down, but never to nothing."""
    root = write(tmp_path, {"proc/self/cgroup": "0::/\n", "sys/fs/cgroup/cpu.max": f"{quota}\n"})
    assert usable_cpus(root) == count


def test_the_tightest_quota_on_the_way_up_counts(tmp_path: Path) -> None:
    """A slice above ours may allow less than our own group."""
    root = write(
        tmp_path,
        {
            "proc/self/cgroup": "0::/a.slice/b.service\n",
            "sys/fs/cgroup/a.slice/cpu.max": "300000 100000\n",
            "sys/fs/cgroup/a.slice/b.service/cpu.max": "600000 100000\n",
        },
    )
    assert usable_cpus(root) == 3


def test_a_v1_quota_limits_the_count_where_the_path_is_the_hosts(tmp_path: Path) -> None:
    """In a container the path names a folder of the host; the mount point is our group."""
    root = write(
        tmp_path,
        {
            "proc/self/cgroup": "4:memory:/docker/abc\n3:cpu,cpuacct:/docker/abc\n",
            "sys/fs/cgroup/cpu,cpuacct/cpu.cfs_quota_us": "200000\n",
            "sys/fs/cgroup/cpu,cpuacct/cpu.cfs_period_us": "100000\n",
        },
    )
    assert usable_cpus(root) == 2


def test_a_v1_quota_of_minus_one_is_none(tmp_path: Path) -> None:
    """-1 means without a limit."""
    root = write(
        tmp_path,
        {
            "proc/self/cgroup": "3:cpu:/\n",
            "sys/fs/cgroup/cpu/cpu.cfs_quota_us": "-1\n",
            "sys/fs/cgroup/cpu/cpu.cfs_period_us": "100000\n",
        },
    )
    assert usable_cpus(root) == 8


def test_threads_are_shared_among_workers(monkeypatch: pytest.MonkeyPatch) -> None:
    """0 shares the CPUs, at least one for each; any other number is taken as it is."""
    monkeypatch.setattr(cpus, "usable_cpus", lambda: 8)
    assert threads_for_each_worker(0, 3) == 2
    assert threads_for_each_worker(0, 100) == 1
    assert threads_for_each_worker(5, 3) == 5


@pytest.mark.parametrize(("cpus_of_ours", "workers", "spins"), [(1, 1, 0), (2, 1, 1), (2, 2, 0)])
def test_workers_spin_where_each_has_a_cpu_and_the_front_one_too(
    monkeypatch: pytest.MonkeyPatch, cpus_of_ours: int, workers: int, spins: int
) -> None:
    """Else they would take it from each other."""
    monkeypatch.setattr(cpus, "usable_cpus", lambda: cpus_of_ours)
    assert spin_for_each_worker(0.0003, workers) == spins * 0.0003
