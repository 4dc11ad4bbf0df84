"""Clients together, from 1 to 512, each with one row after another."""

from bench import contenders, starting
from bench.ground import Ground
from bench.growth.part import Keep, Part, Point
from bench.loads import Bodies
from bench.wrk import drive

_SIZES = tuple(2**power for power in range(10))
_SECONDS = 3
_LONG_SECONDS = 15


def measure(ground: Ground, keep: Keep) -> None:
    """Drive ours by ever more clients; and the guide's app, for comparison."""
    bodies = Bodies(ground.folder / "growing", ground.load())
    for contender in (*contenders.OURS, contenders.GUIDE):
        with starting.rested(contender, ground, bodies) as (url, tree):
            target = bodies.target(url, contender.dialect, 1)
            drive(target, _SIZES[3], 1)
            for clients in _SIZES:
                driven = drive(target, clients, _SECONDS)
                if not driven.requests:
                    # So many wait in line that not even the first has its answer yet.
                    driven = drive(target, clients, _LONG_SECONDS)
                for panel, value in (
                    ("requests a second", driven.rate(clients)),
                    ("p50, ms", driven.p50_ms),
                    ("p99, ms", driven.p99_ms),
                ):
                    keep(Point(panel, contender.title, clients, value))
                if driven.failed:
                    print(f"  {contender.title}, {clients}: {driven.failed} FAILED", flush=True)
                tree.settle(0.1)


CLIENTS = Part("clients", "clients", measure)
