"""Single-row traffic before, during and after promotions."""

import math
import threading
import time
import urllib.request
from urllib.parse import urljoin

from bench import contenders, starting, windows
from bench.contenders import Contender
from bench.ground import MONTHS, Ground, register_forest
from bench.loads import Bodies
from bench.results import Results, Spread, Window
from bench.wrk import Driven, Target, drive
from service.commands.demo import model as forest

_BEFORE = "before"
_DURING = "during"
_AFTER = "after"
_FIRST_WINDOW_S = 1
_MOST_PROMOTIONS = 4
"""At most so many promotions of one kind: each version is compiled before the next one."""
_RELOAD_LIMIT_S = 120
RATIO_LIMIT = 2

_NEW = "to a version never seen"
_WAITED_FOR = f"{_NEW}, COMPILED_WAIT_S=10"
_AGAIN = "back to a version on disk"


def measure(ground: Ground, bodies: Bodies, results: Results) -> None:
    """Promote under load: versions that are new, and then two of them back and forth.

    With `KEEP_WARM` the version before would stay loaded, and going back to it load nothing; so it
    is off where that is measured.
    """
    results.promotion = []
    rounds = range(1, min(results.rounds, _MOST_PROMOTIONS) + 1)
    fresh = [register_forest(ground.server, MONTHS, seed) for seed in rounds]
    # The right answers are those of the version that the ground is made of: it serves first.
    back_and_forth = [fresh[-1] if number % 2 else "1" for number in rounds]
    for contender in contenders.OURS:
        _series(ground, bodies, results, contender, _NEW, fresh)
    # A promotion that waits for the predictors that are compiled immediately.
    _series(ground, bodies, results, contenders.HOTSWAP, _WAITED_FOR, fresh, COMPILED_WAIT_S="10")
    # Without compiled predictors there is nothing that a second time could spare.
    again = contenders.HOTSWAP
    _series(ground, bodies, results, again, _AGAIN, back_and_forth, KEEP_WARM="false")


def _series(
    ground: Ground,
    bodies: Bodies,
    results: Results,
    contender: Contender,
    name: str,
    versions: list[str],
    **settings: str,
) -> None:
    ground.server.set_alias(forest.NAME, forest.ALIAS, "1")
    setup = f"{contender.title}, {name}"
    # Named, so that each series has a store of its own and knows only the versions it has seen.
    cache = {"CACHE_DIR": str(ground.folder / setup.replace(",", "").replace(" ", "-"))}
    try:
        with starting.rested(contender, ground, bodies, **cache, **settings) as (url, tree):
            target = bodies.target(url, contender.dialect, 1)
            drive(target, windows.CLIENTS, 1)
            if name == _AGAIN:
                # Seen once, so that it is on disk.
                for version in (versions[0], "1"):
                    _promote(ground, url, version)
                    starting.rest(contender, url, tree)
            window_s = _FIRST_WINDOW_S
            for number, version in enumerate(versions, 1):
                starting.rest(contender, url, tree)
                seen = _round(ground, target, version, window_s)
                for window in _named(setup, number, seen):
                    windows.show(window)
                    results.promotion.append(window)
                window_s = math.ceil(seen.took_s)
    finally:
        ground.server.set_alias(forest.NAME, forest.ALIAS, "1")


class _Seen:
    def __init__(self, before: Driven, during: Driven, after: Driven, took_s: float) -> None:
        self.before, self.during, self.after, self.took_s = before, during, after, took_s


def _round(ground: Ground, target: Target, version: str, window_s: int) -> _Seen:
    """Promote once; each window is as long as the promotion before took."""
    before = drive(target, windows.CLIENTS, window_s)
    took: list[float] = []

    def promote() -> None:
        began = time.monotonic()
        _promote(ground, target.url, version)
        took.append(time.monotonic() - began)

    promoting = threading.Thread(target=promote)
    promoting.start()
    during = drive(target, windows.CLIENTS, window_s)
    promoting.join()
    after = drive(target, windows.CLIENTS, window_s)
    return _Seen(before, during, after, took[0])


def _promote(ground: Ground, url: str, version: str) -> None:
    """Move the alias and have the service look immediately; return when that version serves."""
    ground.server.set_alias(forest.NAME, forest.ALIAS, version)
    direct = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    reload = urllib.request.Request(urljoin(url, "/reload-model"), method="POST")  # noqa: S310 - an address of ours
    direct.open(reload, timeout=_RELOAD_LIMIT_S).close()


def _named(setup: str, number: int, seen: _Seen) -> tuple[Window, ...]:
    return (
        windows.window(setup, _BEFORE, number, seen.before),
        windows.window(setup, _DURING, number, seen.during, seen.took_s),
        windows.window(setup, _AFTER, number, seen.after),
    )


def ratios(found: list[Window]) -> dict[str, Spread]:
    """Return, for each setup, the p99 during a promotion to that before it."""
    setups = dict.fromkeys(seen.setup for seen in found)
    spreads = {setup: windows.ratio(found, setup, _DURING, _BEFORE) for setup in setups}
    return {setup: spread for setup, spread in spreads.items() if spread}
