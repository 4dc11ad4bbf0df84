"""The load generator: wrk, on this machine, over connections that stay open."""

import shutil
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import msgspec

_SCRIPT = Path(__file__).with_name("load.lua")
_PATIENCE_S = 60
_FEW_REQUESTS = 100


class WrkError(Exception):
    """wrk did not run, or told nothing."""


class Driven(msgspec.Struct, frozen=True):
    """What wrk told of one run; `late` requests took longer than it waits."""

    requests: int
    duration_s: float
    mean_ms: float
    p50_ms: float
    p90_ms: float
    p99_ms: float
    max_ms: float
    refused: int
    """Answers with a status of 400 or above."""
    broken: int
    """Connections that could not be made, read or written."""
    late: int

    @property
    def failed(self) -> int:
        """Requests that were not answered as they should be."""
        return self.refused + self.broken + self.late

    def rate(self, clients: int) -> float:
        """Return requests a second.

        What is under way when the time is up does not count for wrk, which would do a slow server
        wrong; so where few were answered, this is what their mean latency makes of so many clients.
        """
        if 0 < self.requests < _FEW_REQUESTS and self.mean_ms > 0:
            return clients * 1000 / self.mean_ms
        return self.requests / self.duration_s


@dataclass(frozen=True)
class Target:
    """Where to send which bodies: files, taken in turn."""

    url: str
    content_type: str
    accept: str
    bodies: tuple[Path, ...]
    headers: tuple[tuple[str, str], ...] = ()


def command(target: Target, clients: int, duration_s: int) -> Sequence[str]:
    """Return the command that drives a target for some whole seconds."""
    wrk = shutil.which("wrk")
    if wrk is None:
        raise WrkError("wrk is not installed; Debian has it: apt-get install wrk")
    return [
        *(wrk, "--threads", "1", "--connections", str(clients), "--duration", f"{duration_s}s"),
        *("--timeout", f"{_PATIENCE_S}s", "--script", str(_SCRIPT), target.url, "--"),
        *(target.content_type, target.accept, str(len(target.headers))),
        *(part for header in target.headers for part in header),
        *map(str, target.bodies),
    ]


def drive(target: Target, clients: int, duration_s: int) -> Driven:
    """Send one request after another from each client, and return what came of it."""
    try:
        ran = subprocess.run(
            command(target, clients, duration_s),
            capture_output=True,
            text=True,
            timeout=duration_s + _PATIENCE_S,
            check=False,
        )
    except subprocess.TimeoutExpired as error:
        raise WrkError("wrk did not end") from error
    return told(ran.stdout, ran.stderr)


def told(out: str, err: str) -> Driven:
    """Read what wrk and the script printed."""
    last = out.strip().rpartition("\n")[2]
    try:
        return msgspec.json.decode(last, type=Driven)
    except msgspec.DecodeError as error:
        raise WrkError(f"wrk told nothing: {(err or out).strip()[-500:]}") from error
