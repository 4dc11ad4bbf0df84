"""Loads on one server: what it answered, and what the loads did to it."""

import subprocess
import sys
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import msgspec

from tools.overload.cases import Case
from tools.overload.plan import Outcome, Plan
from tools.overload.row import Row
from tools.overload.server import Server

CONNECTIONS = 1024
_SETTLE_S = 10.0
_SLACK_S = 120.0
_ROOT = Path(__file__).resolve().parents[2]


class Load(msgspec.Struct, frozen=True):
    """What one model is asked: `factor` times the requests of a case that it can answer."""

    case: Case
    model: str
    """The name that it is served under."""
    factor: float


def measure(
    server: Server,
    loads: Sequence[Load],
    duration_s: float,
    *,
    tree: str,
    settle_s: float = _SETTLE_S,
    seed: int = 1,
) -> list[Row]:
    """Put all loads on a server together for a while, and tell what became of each.

    Memory is looked at `settle_s` after the loads. What a slow model could do at most is corrected
    by what lone requests take here and now. Health, workers and memory are the whole server's.
    """
    plans, capacities = [], []
    for number, load in enumerate(loads):
        case, model = load.case, load.model
        usual_s, capacity = server.took_s(case, model, 1), case.capacity
        if case.call_s:
            capacity *= min(1.0, case.call_s / server.took_s(case, model, case.rows))
        plans.append(
            _plan(
                server,
                case,
                model,
                rate=case.capacity * load.factor,
                duration_s=duration_s,
                usual_s=usual_s,
                seed=seed + number,
            )
        )
        capacities.append(capacity)
    before_bytes, lost = server.tree.pss_bytes(), server.workers_lost()
    with server.watched() as looks, ThreadPoolExecutor(len(plans)) as generators:
        outcomes = list(generators.map(generate, plans))
    time.sleep(settle_s)
    lost, after_bytes = server.workers_lost() - lost, server.tree.pss_bytes()
    return [
        Row(
            tree=tree,
            case=load.case.title,
            protocol=load.case.protocol.title,
            factor=load.factor,
            rate=plan.rate,
            capacity=capacity,
            duration_s=duration_s,
            outcome=outcome,
            workers_lost=lost,
            looks=len(looks),
            red_looks=looks.count(False),
            before_bytes=before_bytes,
            after_bytes=after_bytes,
        )
        for load, plan, capacity, outcome in zip(loads, plans, capacities, outcomes, strict=True)
    ]


def capacity(server: Server, case: Case, model: str, clients: int, duration_s: float) -> float:
    """Return how many requests a second so many clients get answered, one after another."""
    plan = _plan(server, case, model, rate=0.0, duration_s=duration_s, usual_s=0.0, seed=0)
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
    server: Server,
    case: Case,
    model: str,
    *,
    rate: float,
    duration_s: float,
    usual_s: float,
    seed: int,
) -> Plan:
    host, port = server.address_of(case)
    return Plan(
        host=host,
        port=port,
        path=case.protocol.path.format(model),
        body=case.body(model, case.rows),
        probe=case.body(model, 1),
        content_type=case.protocol.content_type,
        rate=rate,
        duration_s=duration_s,
        limit_s=case.limit_s,
        connections=CONNECTIONS,
        seed=seed,
        usual_s=usual_s,
    )
