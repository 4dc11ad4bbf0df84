"""One load on one server: what it answered, and what the load did to it."""

import contextlib
import json
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit

import httpx
import msgspec

from tools.overload.cases import Case
from tools.overload.plan import Outcome, Plan, percentile
from tools.processes import ProcessTree

CONNECTIONS = 1024
_LOOK_EVERY_S = 0.1
_LOOK_LIMIT_S = 1.0
_SETTLE_S = 10.0
_SLACK_S = 120.0
_USUAL_PROBES = 5
_ROOT = Path(__file__).resolve().parents[2]


class Server(msgspec.Struct, frozen=True):
    """A service that runs: where it is, its processes, and its log."""

    url: str
    tree: ProcessTree
    log: Path

    def workers_lost(self) -> int:
        """Return how many workers it has lost so far."""
        return self.log.read_text("utf-8", "replace").count('"worker lost"')


class Row(msgspec.Struct):
    """One line of the table."""

    tree: str
    case: str
    factor: float
    rate: float
    capacity: float
    duration_s: float
    outcome: Outcome
    workers_lost: int
    looks: int
    red_looks: int
    before_bytes: int
    after_bytes: int

    @property
    def goodput(self) -> float:
        """Requests that were answered in time, as a share of the capacity."""
        return self.outcome.answered / self.duration_s / self.capacity

    @property
    def grown(self) -> float:
        """How much memory it takes more than before, ten seconds after the load, as a share."""
        return self.after_bytes / self.before_bytes - 1


def measure(
    server: Server,
    case: Case,
    factor: float,
    duration_s: float,
    *,
    tree: str,
    settle_s: float = _SETTLE_S,
    seed: int = 1,
) -> Row:
    """Send `factor` times the capacity for a while, and tell what became of it.

    Memory is looked at `settle_s` after the load. What a slow model could do at most is corrected
    by what lone requests take here and now.
    """
    usual_s = _took_s(server, case, 1)
    capacity = case.capacity
    if case.call_s:
        capacity *= min(1.0, case.call_s / _took_s(server, case, case.rows))
    before_bytes, lost = server.tree.pss_bytes(), server.workers_lost()
    rate = case.capacity * factor
    plan = _plan(server, case, rate=rate, duration_s=duration_s, usual_s=usual_s, seed=seed)
    with _watched(server.url) as looks:
        outcome = generate(plan)
    time.sleep(settle_s)
    return Row(
        tree=tree,
        case=case.title,
        factor=factor,
        rate=rate,
        capacity=capacity,
        duration_s=duration_s,
        outcome=outcome,
        workers_lost=server.workers_lost() - lost,
        looks=len(looks),
        red_looks=looks.count(False),
        before_bytes=before_bytes,
        after_bytes=server.tree.pss_bytes(),
    )


def capacity(server: Server, case: Case, clients: int, duration_s: float) -> float:
    """Return how many requests a second so many clients get answered, one after another."""
    plan = _plan(server, case, rate=0.0, duration_s=duration_s, usual_s=0.0, seed=0)
    outcome = generate(msgspec.structs.replace(plan, connections=clients))
    return outcome.answered / duration_s


def generate(plan: Plan) -> Outcome:
    """Run the load generator."""
    ran = subprocess.run(
        [sys.executable, "-m", "tools.overload.open_loop"],
        input=msgspec.json.encode(plan),
        stdout=subprocess.PIPE,
        cwd=_ROOT,
        timeout=plan.duration_s + plan.limit_s + _SLACK_S,
        check=True,
    )
    return msgspec.json.decode(ran.stdout, type=Outcome)


def _plan(
    server: Server, case: Case, *, rate: float, duration_s: float, usual_s: float, seed: int
) -> Plan:
    parts = urlsplit(server.url)
    return Plan(
        host=str(parts.hostname),
        port=parts.port or 80,
        body=case.body(case.rows),
        probe=case.body(1),
        content_type=case.content_type,
        rate=rate,
        duration_s=duration_s,
        limit_s=case.limit_s,
        connections=CONNECTIONS,
        seed=seed,
        usual_s=usual_s,
    )


def _took_s(server: Server, case: Case, rows: int) -> float:
    """Return what a lone request takes, the median of some."""
    headers = {"content-type": case.content_type}
    with httpx.Client(base_url=server.url, timeout=60, trust_env=False, headers=headers) as client:
        took = []
        for _ in range(_USUAL_PROBES):
            began = time.monotonic()
            client.post("/predict", content=case.body(rows)).raise_for_status()
            took.append(time.monotonic() - began)
    return sorted(took)[len(took) // 2]


@contextlib.contextmanager
def _watched(url: str) -> Iterator[list[bool]]:
    """Look at `/health` meanwhile, and note whether it was green."""
    looks: list[bool] = []
    done = threading.Event()

    def look() -> None:
        with httpx.Client(base_url=url, timeout=_LOOK_LIMIT_S, trust_env=False) as client:
            while not done.wait(_LOOK_EVERY_S):
                try:
                    looks.append(client.get("/health").status_code == httpx.codes.OK)
                except httpx.TransportError:
                    looks.append(False)

    watcher = threading.Thread(target=look)
    watcher.start()
    try:
        yield looks
    finally:
        done.set()
        watcher.join()


HEAD = (
    *(
        "tree",
        "case",
        "load",
        "capacity / s",
        "asked / s",
        "goodput",
        "late or no answer",
        "refused",
    ),
    *("refusals p50 / p99 / max, ms", "answers p50 / p99, ms", "workers lost", "health red"),
    *("memory, MB", "accepts / usual again, s"),
)


def cells(row: Row) -> list[str]:
    """Return a line for readers."""
    outcome = row.outcome
    refused, answered = outcome.refused_ms, outcome.answered_ms
    others = {k: v for k, v in outcome.statuses.items() if k not in (200, 503)}
    told = ", ".join(f"{count} x {status}" for status, count in sorted(others.items()))
    late = f"{outcome.late + outcome.unsent} + {told or 0} + {outcome.broken} broken"
    return [
        row.tree,
        row.case,
        f"{row.factor:g} x, {row.duration_s:g} s",
        f"{row.capacity:.4g}",
        f"{(outcome.sent + outcome.unsent) / row.duration_s:.1f}",
        f"{row.goodput:.0%}",
        late,
        str(len(refused)),
        " / ".join(f"{percentile(refused, p):.1f}" for p in (0.5, 0.99, 1.0)) if refused else "",
        " / ".join(f"{percentile(answered, p):.0f}" for p in (0.5, 0.99)) if answered else "",
        str(row.workers_lost),
        f"{row.red_looks / max(1, row.looks):.0%} of {row.looks}",
        f"{row.before_bytes / 1e6:.0f} to {row.after_bytes / 1e6:.0f} ({row.grown:+.0%})",
        " / ".join(_seconds(at) for at in (outcome.accepted_after_s, outcome.usual_after_s)),
    ]


def _seconds(at_s: float | None) -> str:
    return "never" if at_s is None else f"{at_s:.1f}"


def as_json(row: Row) -> str:
    """Return a line to keep, without the single latencies."""
    kept = msgspec.to_builtins(row)
    for name in ("refused_ms", "answered_ms", "lag_ms"):
        values = kept["outcome"].pop(name)
        kept["outcome"][name] = {str(p): percentile(values, p) for p in (0.5, 0.99, 1.0)}
    return json.dumps(kept)
