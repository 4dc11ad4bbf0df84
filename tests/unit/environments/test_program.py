"""Programs that are not ours: bounded, last in line, and ended with all that they start."""

import sys
from functools import partial
from pathlib import Path

import anyio
import anyio.to_thread
import psutil
import pytest

from service.environments.program import Ended, run_program

PYTHON = sys.executable


def has_ended(pid: int) -> bool:
    """Tell whether nothing but a status is left of a process."""
    try:
        return psutil.Process(pid).status() == psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return True


async def run(code: str, limit_s: float = 60.0, most_bytes: int = 2**20) -> Ended:
    """Run a program of a few lines."""
    command = [PYTHON, "-c", code]
    call = partial(
        run_program,
        command,
        variables={"A": "b"},
        folder=Path("/"),
        limit_s=limit_s,
        most_bytes=most_bytes,
    )
    return await anyio.to_thread.run_sync(call)


async def test_its_lines_and_its_status_are_returned() -> None:
    """What it prints to either stream, and what it ended with."""
    code = "import os, sys; print('out', os.environ['A'], flush=True); sys.exit('err')"
    assert await run(code) == Ended(1, ("out b", "err"))


async def test_it_has_no_other_variables_and_the_lowest_priority() -> None:
    """The kernel gives it CPU and disk when nobody else wants them."""
    code = (
        "import os, psutil; print(os.nice(0), psutil.Process().ionice().ioclass.value, "
        "sorted(os.environ))"
    )
    found = (await run(code)).lines[0].split(" ", 2)
    assert found[:2] == ["19", "3"]
    assert "PATH" not in found[2]


async def test_it_ends_at_its_limit_with_what_it_has_started() -> None:
    """A process in a session of its own, too."""
    code = (
        "import subprocess, sys, time\n"
        "child = subprocess.Popen([sys.executable, '-c', 'import time; time.sleep(99)'],"
        " start_new_session=True)\n"
        "print(child.pid, flush=True)\ntime.sleep(99)\n"
    )
    ended = await run(code, limit_s=3.0)
    assert ended.cut == "it took too long"
    assert has_ended(int(ended.lines[0]))


@pytest.mark.parametrize("text", ["x", "x\\n", "x\\r"])
async def test_it_may_not_print_for_ever(text: str) -> None:
    """Whether in lines or without an end of one; the last lines are kept, cut."""
    code = f"import sys\nwhile True: sys.stdout.write('{text}' * 9999)"
    ended = await run(code, most_bytes=500_000)
    assert ended.cut == "it printed without an end"
    assert 1 <= len(ended.lines) <= 200
    assert all(len(line) <= 2_000 for line in ended.lines)


async def test_a_cancelled_call_ends_it(tmp_path: Path) -> None:
    """Within a moment, and the call returns once it is gone."""
    pid_file = tmp_path / "pid"
    code = f"import os, time; open({str(pid_file)!r}, 'w').write(str(os.getpid())); time.sleep(99)"
    with anyio.fail_after(30):
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(run, code)
            while not pid_file.exists() or not pid_file.read_text():  # noqa: ASYNC110 - a file
                await anyio.sleep(0.02)
            tasks.cancel_scope.cancel()
    assert has_ended(int(pid_file.read_text()))
