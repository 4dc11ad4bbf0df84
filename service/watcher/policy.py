"""The decision on what to do next, given a snapshot: a pure function, so its tests are tables.

Level-triggered: each pass looks at the world as it is, not at the event that woke it. Nothing that
serves is given up before something better stands ready, which is why there is no action that
unloads first and loads then.
"""

import msgspec

from service.control.snapshot import Snapshot
from service.core.versions import ModelVersion


class Keep(msgspec.Struct, frozen=True):
    """Change nothing."""

    reason: str


class Load(msgspec.Struct, frozen=True):
    """Fetch, load and prove a version, and swap it in if it passes."""

    version: ModelVersion


class Cancel(msgspec.Struct, frozen=True):
    """Give up the candidate that is under way: it is no longer wanted."""

    version: ModelVersion


class Unload(msgspec.Struct, frozen=True):
    """Stop serving: nothing is promoted any more, and the operator wants that obeyed."""


Action = Keep | Load | Cancel | Unload


def next_action(now: Snapshot) -> Action:
    """Return the one thing to do next."""
    target, reason = _target(now)
    if now.loading is not None:
        if now.loading == target:
            return Keep("the wanted version is under way")
        if now.serving is None and now.loading == now.fallback:
            return Keep("nothing serves, and the last known good version is under way")
        return Cancel(now.loading)
    if target is not None and target != now.serving:
        return Load(target)
    if now.known and now.wanted is None and now.serving is not None and not now.held:
        return Unload() if now.on_unpromoted == "unload" else Keep(reason)
    return Keep(reason)


def _target(now: Snapshot) -> tuple[ModelVersion | None, str]:
    """Return the version that is to serve, None for none, and why."""
    if now.held:
        return _stand_in(now), "it is unknown whether a version is pinned"
    if not now.known:
        reason = "the registry was not seen yet"
        return (_stand_in(now) if now.unreachable else None), reason
    if now.wanted is None:
        return None, "nothing is promoted"
    if now.wanted in now.refused:
        return _stand_in(now), "the wanted version was refused"
    if now.wanted in now.backing_off:
        return _stand_in(now), "the wanted version failed and will be tried again"
    return now.wanted, "the wanted version serves"


def _stand_in(now: Snapshot) -> ModelVersion | None:
    """Return the last known good version where nothing serves, or what serves was refused."""
    if now.serving is not None and now.serving not in now.refused:
        return None
    if now.fallback is None or now.fallback in now.refused | now.backing_off:
        return None
    return now.fallback
