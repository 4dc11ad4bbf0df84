"""The same rows by each protocol of one service: what each costs its server process."""

import http.client
import json
import urllib.request
from dataclasses import dataclass
from urllib.parse import quote, urljoin

import msgspec

from bench import asking, dialects
from bench.contenders import HOTSWAP
from bench.dialects import Dialect
from bench.ground import Ground
from bench.loads import Bodies
from bench.page import ranged, table
from bench.starting import rested
from bench.wrk import drive
from tools.processes import BrokenError

_WARM_S = 0.5
_MANY_ROWS = 10_000
MOST = 1.3
"""A way may cost its server process so many times what it is compared with."""


@dataclass(frozen=True)
class Way:
    """A form of a request, and the way that it is compared with; `{}` in a path is the model."""

    title: str
    path: str
    dialect: Dialect
    rows: int = 1
    beside: str = ""
    bound: bool = False
    """Whether `MOST` is promised for it."""


_NATIVE, _ARROW = "`/predict`, rows", "`/predict`, Arrow"
WAYS = (
    Way(_NATIVE, "/predict", dialects.INSTANCES),
    Way("`/invocations`, split", "/invocations", dialects.DATAFRAME_SPLIT, 1, _NATIVE, bound=True),
    Way(
        "`/invocations`, records",
        "/invocations",
        dialects.DATAFRAME_RECORDS,
        1,
        _NATIVE,
        bound=True,
    ),
    Way("OIP, JSON", "/v2/models/{}/infer", dialects.OPEN_INFERENCE, 1, _NATIVE),
    Way("OIP, binary", "/v2/models/{}/infer", dialects.BINARY_TENSORS, 1, _NATIVE),
    Way(_ARROW, "/predict", dialects.ARROW_STREAM, _MANY_ROWS),
    Way(
        "OIP, binary",
        "/v2/models/{}/infer",
        dialects.BINARY_TENSORS,
        _MANY_ROWS,
        _ARROW,
        bound=True,
    ),
)
_CLIENTS = {1: (1, 16), _MANY_ROWS: (1,)}


class Seen(msgspec.Struct, frozen=True):
    """One way under one load in one round; `cpu_us` is the server process', for each request."""

    way: Way
    clients: int
    round: int
    rate: float
    p50_ms: float
    cpu_us: float
    failed: int


def measure(ground: Ground, bodies: Bodies, rounds: int, seconds: int) -> list[Seen]:
    """Ask one service by each way in turn. Raise BrokenError where an answer is not right."""
    found: list[Seen] = []
    with rested(HOTSWAP, ground, bodies) as (url, tree):
        name = _model_name(url)
        urls = {way: urljoin(url, way.path.replace("{}", quote(name))) for way in WAYS}
        for way in WAYS:
            paths = bodies.of(way.dialect, way.rows)
            for path, expected in zip(paths, bodies.expected(way.rows), strict=True):
                asking.check(urls[way], way.dialect, path.read_bytes(), expected)
        for number in range(1, rounds + 1):
            first = number % len(WAYS)
            for way in WAYS[first:] + WAYS[:first]:
                target = bodies.target(urls[way], way.dialect, way.rows)
                for clients in _CLIENTS[way.rows]:
                    body = target.bodies[0].read_bytes()
                    asking.warm(target.url, way.dialect, body, min(clients, 4), _WARM_S)
                    before = tree.root.cpu_times()
                    driven = drive(target, clients, seconds)
                    after = tree.root.cpu_times()
                    cpu_s = after.user + after.system - before.user - before.system
                    seen = Seen(
                        *(way, clients, number, driven.rate(clients), driven.p50_ms),
                        *(1e6 * cpu_s / max(1, driven.requests), driven.failed),
                    )
                    print(
                        f"  {number} {way.title:26} {way.rows:6} rows, {clients:2} clients: "
                        f"{seen.rate:9.1f}/s p50 {seen.p50_ms:7.3f} ms, {seen.cpu_us:8.1f} us",
                        flush=True,
                    )
                    found.append(seen)
    return found


def tables(found: list[Seen]) -> str:
    """Return the table of a run, with the ratio to what each is compared with in its round."""
    rows = []
    for way in WAYS:
        for clients in _CLIENTS[way.rows]:
            mine = _of(found, way.title, way.rows, clients)
            base = {seen.round: seen for seen in _of(found, way.beside, way.rows, clients)}
            ratio = [seen.cpu_us / base[seen.round].cpu_us for seen in mine if seen.round in base]
            longer = [seen.p50_ms / base[seen.round].p50_ms for seen in mine if seen.round in base]
            title = f"{way.title}, {way.rows:,} {'row' if way.rows == 1 else 'rows'}"
            failed = sum(seen.failed for seen in mine)
            rows.append(
                [
                    f"{title}, {clients} {'client' if clients == 1 else 'clients'}"
                    + (f" **{failed} failed**" if failed else ""),
                    ranged([seen.cpu_us for seen in mine]),
                    ranged(ratio) + (f", at most {MOST}" if way.bound else ""),
                    ranged([seen.p50_ms for seen in mine]),
                    ranged(longer),
                    ranged([seen.rate for seen in mine]),
                ]
            )
    head = ["", "CPU of the server process, us", "times", "p50, ms", "times", "requests a second"]
    return table(head, rows)


def _of(found: list[Seen], title: str, rows: int, clients: int) -> list[Seen]:
    return [
        seen
        for seen in found
        if (seen.way.title, seen.way.rows, seen.clients) == (title, rows, clients)
    ]


def _model_name(url: str) -> str:
    direct = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    try:
        with direct.open(urljoin(url, "/models"), timeout=10) as answer:
            return str(json.loads(answer.read())["models"][0]["name"])
    except (OSError, http.client.HTTPException) as error:
        raise BrokenError(f"gave no list of models: {error}") from error
