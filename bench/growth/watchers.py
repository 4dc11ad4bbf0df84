"""Watchers on one MLflow server: what each costs it, and how many it bears."""

from contextlib import ExitStack

import msgspec
import numpy as np

from bench.ground import MODEL_URI, Ground
from bench.growth.part import Keep, Part, Point
from bench.line_process import line_process
from service.commands.demo.model import ALIAS, NAME
from tools.processes import ProcessTree

_FLEETS = (1, 2, 5, 10, 20, 50, 100, 200, 300, 400, 600, 800)
_AT_ONCE = (1, 2, 5, 10, 20, 50, 100, 200)
_PROCESSES = 4
_INTERVAL_S = 2.0
_SECONDS = 10
_MOST_P99_MS = _INTERVAL_S * 1000
_STAGE = "Production"
BEARS = "the largest fleet it bears"
_FORMS = {"alias": MODEL_URI, "stage": f"models:/{NAME}/{_STAGE}"}


class _Told(msgspec.Struct):
    took_ms: list[float]
    failures: list[str]
    cpu_s: float
    seconds: float


def measure(ground: Ground, keep: Keep) -> None:
    """Poll all together, then at the service's interval, until the server can't follow."""
    ground.server.set_stage(NAME, "1", _STAGE)
    for form, uri in _FORMS.items():
        series = f"by {form}"
        for watchers in _AT_ONCE:
            told, _ = _poll(ground, uri, watchers, 0)
            slowest = max((ms for one in told for ms in one.took_ms), default=float("nan"))
            keep(Point("all together: ms until the last is answered", series, watchers, slowest))
        borne = 0
        for watchers in _FLEETS:
            if not _is_borne(ground, uri, series, watchers, keep):
                break
            borne = watchers
        print(f"  {series}: it bears {borne} watchers", flush=True)
        keep(Point(BEARS, series, 1, borne))
    ground.server.set_alias(NAME, ALIAS, "1")


def _is_borne(ground: Ground, uri: str, series: str, watchers: int, keep: Keep) -> bool:
    """Poll at the interval; whether every poll was answered before the next one was due."""
    told, cpu_s = _poll(ground, uri, watchers, _SECONDS)
    took_ms = [ms for one in told for ms in one.took_ms]
    failures = [why for one in told for why in one.failures]
    p50, p99 = np.percentile(took_ms, (50, 99)) if took_ms else (float("nan"), float("nan"))
    seconds = max(one.seconds for one in told)
    keep(Point("every 2 s: p50, ms", series, watchers, float(p50)))
    keep(Point("every 2 s: p99, ms", series, watchers, float(p99)))
    keep(Point("server's CPU, ms a poll", series, watchers, 1000 * cpu_s / max(1, len(took_ms))))
    pollers_s = sum(one.cpu_s for one in told)
    keep(Point("share of a core", f"the server, {series}", watchers, cpu_s / seconds))
    keep(Point("share of a core", f"all who poll, {series}", watchers, pollers_s / seconds))
    if failures:
        print(f"  {len(failures)} polls failed, the first: {failures[0]}", flush=True)
    return not failures and bool(p99 < _MOST_P99_MS)


def _poll(ground: Ground, uri: str, watchers: int, seconds: float) -> tuple[list[_Told], float]:
    """Run some processes of watchers together; return what they tell, and the server's CPU."""
    server = ProcessTree(ground.server.process.pid)
    processes = min(_PROCESSES, watchers)
    shares = [len(range(number, watchers, processes)) for number in range(processes)]
    with ExitStack() as stack:
        started = [
            stack.enter_context(
                line_process(ground, "watchers", ground.server.uri, uri, str(share), str(seconds))
            )
            for share in shares
        ]
        for process in started:
            process.receive()
        before_s = server.cpu_s()
        for process in started:
            process.send("go")
        told = [msgspec.json.decode(process.receive(), type=_Told) for process in started]
        return told, server.cpu_s() - before_s


WATCHERS = Part("watchers", "watchers", measure)
