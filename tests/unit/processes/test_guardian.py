"""Marks: what has one is found and ended, and nothing else is."""

import subprocess
import sys

import pytest

from service.processes import guardian

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="marks are Linux's")

_MARKED = """
import subprocess, sys
sys.path.insert(0, {root!r})
from service.processes import guardian
guardian.take_mark({mark})
subprocess.Popen([sys.executable, "-c", "import time; print('up', flush=True); time.sleep(600)"])
"""


def _start(mark: int) -> "subprocess.Popen[bytes]":
    """Start a marked process that starts another one, and wait until that is up."""
    code = _MARKED.format(root=str(guardian.__file__).rpartition("/service/")[0], mark=mark)
    # Its child outlives it: the pipe is open until that ends.
    started = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE)
    assert started.stdout is not None
    assert started.stdout.readline() == b"up\n"
    return started


def test_all_that_has_a_mark_is_ended_and_nothing_else() -> None:
    """Also what has lost its parent."""
    guard = guardian.Guard()
    mine, other = guard.new_mark(), guard.new_mark()
    assert 0 < mine != other
    with _start(mine) as marked, _start(other) as kept:
        assert guardian.end_marked((mine,)) == 0
        assert marked.stdout is not None
        assert marked.stdout.read() == b""
        assert kept.stdout is not None
        assert guardian.end_marked((mine,)) == 0
        found = [pid for pid in guardian.pids() if guardian.mark_of(pid) == other]
        assert len(found) >= 1
        assert guardian.end_marked((other,)) == 0
        assert kept.stdout.read() == b""


def test_a_guardian_ends_what_is_marked_when_its_server_process_ends() -> None:
    """By the end of the pipe that only that one holds; a guardian that was lost is replaced."""
    guard = guardian.Guard()
    guard.ensure_running()
    first = guard.process
    assert first is not None
    first.kill()
    first.wait()
    guard.ensure_running()
    second = guard.process
    assert second is not None
    assert second.pid != first.pid
    with _start(guard.new_mark()) as marked:
        guard.close()
        assert marked.stdout is not None
        assert marked.stdout.read() == b""
    assert second.wait(20) == 0


def test_where_there_are_no_marks_none_is_given() -> None:
    """A child's process group is ended with it then."""
    guard = guardian.Guard(b"not known here")
    assert guard.new_mark() == 0
    guard.ensure_running()
    assert guard.pid is None
    guardian.take_mark(0)
