"""End a process that does long work and stands still: one that is stopped never ends by itself."""

import anyio
import anyio.to_thread
import structlog

from service.processes.child import Child

LOOK_S = 5.0
"""Seconds between two looks at the CPU time that it has used."""

_log = structlog.get_logger("child")
_USER, _SYSTEM = 11, 12
"""Where `utime` and `stime` stand after a process's name: see `proc_pid_stat(5)`."""


async def end_if_it_stands_still(child: Child, limit_s: float) -> None:
    """Kill a child that has used no CPU time for `limit_s`; return once it has ended.

    Even the lowest priority gets a percent of a CPU. Counted are looks, so that a time in which we
    stood still ourselves is not held against it. Where the system does not tell, nothing is done.
    """
    used, looks = "", 0
    while child.is_alive:
        await anyio.sleep(LOOK_S)
        now = await anyio.to_thread.run_sync(_cpu_time, child.pid)
        looks = looks + 1 if now == used else 0
        used = now
        if now and looks * LOOK_S >= limit_s:
            _log.warning("child stands still and is ended", child=child.name, pid=child.pid)
            child.kill()


def _cpu_time(pid: int) -> str:
    """Return what CPU time a process has used, in whatever units; '' where nothing tells."""
    try:
        with open(f"/proc/{pid}/stat", encoding="utf-8", errors="replace") as file:  # noqa: PTH123
            fields = file.read().rpartition(")")[2].split()
    except OSError:
        return ""
    return f"{fields[_USER]} {fields[_SYSTEM]}"
