"""The end of the process, whatever hangs."""

import subprocess
import sys

_HANGS = """
import threading, time
from service.processes.exit_limit import end_within
threading.Thread(target=time.sleep, args=(600,)).start()
end_within(0.2, 143)
"""


def test_a_thread_that_never_ends_does_not_keep_the_process() -> None:
    """Python would wait for it at its exit."""
    ended = subprocess.run([sys.executable, "-c", _HANGS], check=False, timeout=60)
    assert ended.returncode == 143
