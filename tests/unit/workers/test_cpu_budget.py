from pathlib import Path

import anyio
import pytest

from service.workers.cpu_budget import CpuBudget, usable_cpus

CPUS = 8
"""What affinity leaves on the machine of these tests."""


def write(root: Path, files: dict[str, str]) -> Path:
    """Lay out files below a root that stands for /."""
    for name, text in files.items():
        file = root / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text)
    return root


def test_without_cgroups_affinity_decides(tmp_path: Path) -> None:
    """On other systems there is neither /proc nor /sys."""
    assert usable_cpus(tmp_path, CPUS) == 8


@pytest.mark.parametrize(
    ("quota", "count"),
    [("max 100000", 8), ("400000 100000", 4), ("250000 100000", 2), ("50000 100000", 1)],
)
def test_a_v2_quota_limits_the_count(tmp_path: Path, quota: str, count: int) -> None:
    """Part of a CPU is rounded down, but never to nothing."""
    root = write(tmp_path, {"proc/self/cgroup": "0::/\n", "sys/fs/cgroup/cpu.max": f"{quota}\n"})
    assert usable_cpus(root, CPUS) == count


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
    assert usable_cpus(root, CPUS) == 3


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
    assert usable_cpus(root, CPUS) == 2


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
    assert usable_cpus(root, CPUS) == 8


def budget(count: int, *claims: int) -> CpuBudget:
    """Return a budget of so many CPUs, which deployments with these workers share."""
    shared = CpuBudget(count)
    shared.share_among(claims)
    return shared


def test_threads_are_shared_among_the_workers_of_all() -> None:
    """0 shares the CPUs, at least one for each; any other number is taken as it is."""
    assert budget(8, 3).threads(0) == 2
    assert budget(8, 1, 1).threads(0) == 4
    assert budget(8, *[1] * 50).threads(0) == 1
    assert budget(8, 3).threads(5) == 5


def test_a_deployment_that_is_gone_leaves_its_share() -> None:
    """To those that start from then on."""
    shared = budget(8, 2, 2)
    shared.share_among([2])
    assert shared.threads(0) == 4


@pytest.mark.parametrize(
    ("count", "claims", "workers"),
    [(1, [0], 1), (2, [0], 1), (4, [0], 3), (64, [0], 4), (8, [0, 0], 3), (8, [0, 2, 1], 2)],
)
def test_the_number_of_workers_may_be_left_to_the_service(
    count: int, claims: list[int], workers: int
) -> None:
    """What the server process does not need is shared among the models."""
    shared = budget(count, *claims)
    assert shared.workers(0) == workers
    assert shared.workers(7) == 7


@pytest.mark.parametrize(
    ("count", "claims", "polls"),
    [(1, [1], False), (2, [1], True), (2, [2], False), (2, [1, 1], False), (4, [1, 2], True)],
)
def test_workers_poll_where_each_has_a_cpu_and_the_server_one_too(
    count: int, claims: list[int], *, polls: bool
) -> None:
    """Else they would take it from each other."""
    assert budget(count, *claims).polling_s(0.0003) == (0.0003 if polls else 0)


@pytest.mark.loops("virtual")
async def test_as_many_load_together_as_there_are_cpus_and_none_waits_for_ever() -> None:
    """Two that hang keep a third waiting for ten seconds, not for their whole time."""
    shared, loading = CpuBudget(2), list[int]()

    async def load(number: int, takes_s: float) -> None:
        async with shared.load_turn():
            loading.append(number)
            await anyio.sleep(takes_s)

    async with anyio.create_task_group() as loads:
        for number, takes_s in enumerate((100.0, 100.0, 1.0, 1.0)):
            loads.start_soon(load, number, takes_s)
        await anyio.sleep(9.9)
        assert loading == [0, 1]
        await anyio.sleep(0.2)
        assert sorted(loading) == [0, 1, 2, 3]
    async with anyio.create_task_group() as loads:
        for number in (4, 5):
            loads.start_soon(load, number, 1.0)
        await anyio.sleep(0.1)
        assert loading[-2:] == [4, 5]
