"""Contenders that are up: they have given a right answer."""

import json
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any
from urllib.parse import urljoin

from bench import asking
from bench.contenders import Contender
from bench.ground import Ground
from bench.loads import Bodies
from tools.processes import ProcessTree

_COMPILING = "compiling"
_COMPILE_LIMIT_S = 600.0
_LOOK_S = 0.2


@contextmanager
def started(
    contender: Contender, ground: Ground, bodies: Bodies, **settings: str
) -> Iterator[tuple[str, ProcessTree]]:
    """Run a contender until the block ends, from its first right answer on."""
    body = bodies.of(contender.dialect, 1)[0].read_bytes()
    (expected, *_) = bodies.expected(1)

    def is_up(url: str) -> bool:
        if not contender.answers:
            return asking.is_answered(url, contender.dialect, body)
        return asking.is_right(url, contender.dialect, body, expected)

    with contender.started(ground, is_up, **settings) as (url, tree):
        yield url, tree


@contextmanager
def rested(
    contender: Contender, ground: Ground, bodies: Bodies, **settings: str
) -> Iterator[tuple[str, ProcessTree]]:
    """Run a contender until the block ends, once it has done all that it does after a start."""
    with started(contender, ground, bodies, **settings) as (url, tree):
        rest(contender, url, tree)
        yield url, tree


def rest(contender: Contender, url: str, tree: ProcessTree) -> float:
    """Wait until it has done what it does after a start or a promotion, compiling with it.

    Return the share of a core that it takes then.
    """
    return rest_compiled(url, tree) if contender.ours else tree.rest()


def rest_compiled(url: str, tree: ProcessTree) -> float:
    """Wait until a service of ours has compiled what it wants to, and does nothing else either.

    Return the share of a core that it takes then.
    """
    deadline = time.monotonic() + _COMPILE_LIMIT_S
    while predictors(url).get("state") == _COMPILING and time.monotonic() < deadline:
        time.sleep(_LOOK_S)
    return tree.rest()


def predictors(url: str) -> dict[str, Any]:
    """Return what a service of ours tells of its predictors."""
    told: dict[str, Any] = info(url)["serving"].get("predictors", {})
    return told


def info(url: str) -> dict[str, Any]:
    """Return a service's `/model/info`."""
    direct = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    with direct.open(urljoin(url, "/model/info"), timeout=10) as answer:
        told: dict[str, Any] = json.loads(answer.read())
        return told
