"""Contenders in turn, under the same loads, round by round."""

import subprocess
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from itertools import groupby

from bench import asking
from bench.contenders import BARE, Contender
from bench.ground import Ground
from bench.loads import SINGLE, Bodies, Load
from bench.results import Cell, Results, Standing
from bench.starting import predictors, rest, started
from bench.wrk import WrkError, drive
from tools.processes import IDLE_SHARE, BrokenError, ProcessTree, peak_pss

_WARM_S = 0.3
_WARM_CLIENTS = 4
_TRIAL_S = 1


@dataclass
class _Running:
    contender: Contender
    url: str
    tree: ProcessTree
    standing: Standing

    @contextmanager
    def turn(self) -> Iterator[None]:
        """Let it run for as long as it is its turn."""
        if self.standing.paused:
            self.tree.resume()
        try:
            yield
            # Requests of callers that hung up are still being worked on.
            self.tree.settle(self.standing.idle_share + IDLE_SHARE)
        finally:
            if self.standing.paused:
                self.tree.pause()


class Rounds:
    """Starts every contender once, tries it, and then measures it in each round."""

    def __init__(
        self, ground: Ground, bodies: Bodies, results: Results, save: Callable[[], None]
    ) -> None:
        self._ground = ground
        self._bodies = bodies
        self._results = results
        self._save = save

    def run(self, contenders: Sequence[Contender], loads: Sequence[Load]) -> None:
        """Measure what the results don't hold yet."""
        with ExitStack() as stack:
            running = []
            for contender in contenders:
                try:
                    running.append(self._started(stack, contender, loads))
                except (BrokenError, OSError, subprocess.SubprocessError) as error:
                    print(f"{contender.title}: {error}", flush=True)
                    self._results.standings[contender.key] = Standing(broken=str(error))
                self._save()
            for number in range(1, self._results.rounds + 1):
                print(f"round {number} of {self._results.rounds}", flush=True)
                for load in loads:
                    # Nobody has the first or the last turn always.
                    first = number % max(1, len(running))
                    for one in running[first:] + running[:first]:
                        self._measure(one, load, number)
                    self._save()

    def _started(self, stack: ExitStack, contender: Contender, loads: Sequence[Load]) -> _Running:
        """Start a contender, check each of its answers, and see what memory each load takes."""
        began = time.monotonic()
        url, tree = stack.enter_context(started(contender, self._ground, self._bodies))
        standing = Standing(started_s=time.monotonic() - began)
        self._results.standings[contender.key] = standing
        standing.idle_share = rest(contender, url, tree)
        if contender.ours:
            standing.predictors = _best(url)
        # Not our own: their heartbeats would be missed.
        standing.paused = standing.idle_share > IDLE_SHARE and not contender.ours
        running = _Running(contender, url, tree, standing)
        with running.turn():
            for load in loads:
                if _is_asked(contender, load):
                    self._try(running, load)
        peak = max(standing.peak_pss_bytes.values(), default=0) / 1e6
        print(
            f"{contender.title}: up after {standing.started_s:.1f} s, {peak:.0f} MB at most"
            f"{', paused between its turns' if standing.paused else ''}",
            flush=True,
        )
        return running

    def _try(self, running: _Running, load: Load) -> None:
        dialect = load.dialect_of(running.contender)
        paths = self._bodies.of(dialect, load.rows)
        try:
            for path, expected in zip(paths, self._bodies.expected(load.rows), strict=True):
                if running.contender.answers:
                    asking.check(running.url, dialect, path.read_bytes(), expected)
            with peak_pss(running.tree) as peak:
                drive(self._bodies.target(running.url, dialect, load.rows), load.clients, _TRIAL_S)
            running.standing.peak_pss_bytes[load.key] = max(peak)
        except (BrokenError, WrkError) as error:
            print(f"{running.contender.title}, {load.title}: {error}", flush=True)
            running.standing.unanswered[load.key] = str(error)

    def _measure(self, running: _Running, load: Load, number: int) -> None:
        key, standing = running.contender.key, running.standing
        known = any(cell.round == number for cell in self._results.cells_of(key, load.key))
        if known or standing.broken or load.key in standing.unanswered:
            return
        if not _is_asked(running.contender, load):
            return
        dialect = load.dialect_of(running.contender)
        target = self._bodies.target(running.url, dialect, load.rows)
        with running.turn():
            body = target.bodies[0].read_bytes()
            # The first load of a round follows the last of another, which is nothing like it.
            warm_s = max(_WARM_S, running.contender.learns_s if load is SINGLE[0] else 0)
            asking.warm(running.url, dialect, body, min(load.clients, _WARM_CLIENTS), warm_s)
            before_s = running.tree.cpu_s()
            try:
                driven = drive(target, load.clients, load.seconds(self._results.seconds))
            except WrkError as error:
                standing.broken = f"{load.title}: {error}"
                return
            cpu_s = running.tree.cpu_s() - before_s
        if not running.tree.root.is_running():
            standing.broken = f"ended under {load.title}"
        rate = driven.rate(load.clients)
        served = rate * driven.duration_s
        cell = Cell(
            *(key, load.key, number, driven.requests, rate),
            *(driven.p50_ms, driven.p90_ms, driven.p99_ms, driven.failed),
            cpu_s=1000 * cpu_s / served if served else 0.0,
        )
        self._results.cells.append(cell)
        failed = f", {cell.failed} FAILED" if cell.failed else ""
        print(
            f"  {load.title:28} {running.contender.title:24} {rate:9.1f}/s "
            f"p50 {cell.p50_ms:8.2f} p99 {cell.p99_ms:8.2f} ms{failed}",
            flush=True,
        )


def _is_asked(contender: Contender, load: Load) -> bool:
    """Whether a load means something: Arrow is ours alone, and the constant has no rows."""
    if load.arrow:
        return contender.ours
    return contender is not BARE or load in SINGLE


def _best(url: str) -> str:
    """Return which predictor a service of ours takes for how many rows."""
    told = predictors(url)
    best: dict[str, str] = (told.get("report") or {}).get("best") or {}
    if not best:
        return str(told.get("reason") or "")
    runs = groupby(best.items(), key=lambda entry: entry[1])
    return ", ".join(f"{name} from {next(sizes)[0]} rows on" for name, sizes in runs)
