"""What a container engine does for the service, by the kernel's own means: Linux, and root.

A process is PID 1 of its own, without capabilities, on a root that it can't write to but for one
folder.
"""

import contextlib
import os
import signal
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import httpx
import psutil

from tools.running_service import RunningService

_RUN = """
set -eu
root=$1 volume=$2 at=$3 user=$4
shift 4
{mounts}
mount --bind "$volume" "$root$at"
mount -o remount,bind,ro "$root"
exec unshare --pid --fork --kill-child=KILL --root="$root" --wd="$at" --mount-proc=/proc \\
    setpriv --reuid "$user" --regid "$user" --clear-groups \\
    --bounding-set -all --inh-caps -all --no-new-privs "$@"
"""


def why_not() -> str:
    """Say why nothing can be started so here; '' where it can."""
    if sys.platform != "linux" or os.geteuid() != 0:
        return "only root on Linux may make namespaces"
    tried = subprocess.run(
        ["unshare", "--mount", "--pid", "--fork", "true"],  # noqa: S607 - util-linux', as found
        capture_output=True,
        check=False,
    )
    return "" if tried.returncode == 0 else "namespaces are not to be had here"


@dataclass(frozen=True)
class Place:
    """Where a service runs: `mounts` are shell commands that make its root."""

    volume: Path
    """The folder of this machine that it may write to."""
    at: str
    """Its path for the service."""
    root: str = "/"
    mounts: str = ""
    user: int = 0


@dataclass(frozen=True)
class Contained:
    """A service in a place of its own, and its process, which is PID 1 there."""

    service: RunningService
    first: psutil.Process

    def terminate(self, limit_s: float) -> int:
        """Send it SIGTERM, as an engine does; return the status that it ends with."""
        self.first.send_signal(signal.SIGTERM)
        return self.service.process.wait(limit_s)


@contextlib.contextmanager
def contained(
    place: Place, command: Sequence[str], environment: Mapping[str, str], port: int
) -> Iterator[Contained]:
    """Run a command of the service's so that listens on a port of this machine's loopback."""
    log = place.volume.with_suffix(".log")
    script = _RUN.format(mounts=place.mounts)
    where = (place.root, str(place.volume), place.at, str(place.user))
    with log.open("ab") as output:
        process = subprocess.Popen(
            ["unshare", "--mount", "sh", "-c", script, "run", *where, *command],  # noqa: S607 - as above
            env=dict(environment),
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
    url = f"http://127.0.0.1:{port}"
    client = httpx.Client(base_url=url, timeout=60, trust_env=False)
    service = RunningService(url, process, log, client, place.volume / "cache")
    try:
        service.wait_until(lambda: client.get("/health/live").is_success, "alive", 100)
        [first] = psutil.Process(process.pid).children()
        yield Contained(service, first)
    finally:
        service.stop(signal.SIGKILL)
