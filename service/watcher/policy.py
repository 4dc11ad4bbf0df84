"""What to do next, given how things stand: a pure function, so its tests are tables.

Level-triggered: each pass looks at the world as it is, not at the event that woke it. Nothing that
serves is given up before something better stands ready, which is why there is no action that
unloads first and loads then.
"""

from typing import Literal

import msgspec

from service.core.versions import ModelVersion


class Snapshot(msgspec.Struct, frozen=True, kw_only=True):
    """How things stand.

    `promoted` is what the last good look at the registry found, and means nothing before there
    was one (`looked`). `loading` is the candidate under way, `serving` what answers requests.
    `refused` was refused by a gate, `backing_off` failed for a reason that passes and is not yet
    to be tried again.
    """

    looked: bool
    promoted: ModelVersion | None
    serving: ModelVersion | None
    loading: ModelVersion | None
    refused: frozenset[ModelVersion] = frozenset()
    backing_off: frozenset[ModelVersion] = frozenset()
    on_unpromoted: Literal["keep", "unload"] = "keep"


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


def next_action(now: Snapshot) -> Action:  # noqa: PLR0911 - a table, row by row
    """Return the one thing to do next."""
    if not now.looked:
        return Keep("the registry was not seen yet")
    if now.loading is not None and now.loading != now.promoted:
        return Cancel(now.loading)
    if now.promoted is None:
        return _unpromoted(now)
    if now.loading is not None:
        return Keep("the promoted version is under way")
    if now.promoted == now.serving:
        return Keep("the promoted version serves")
    if now.promoted in now.refused:
        return Keep("the promoted version was refused")
    if now.promoted in now.backing_off:
        return Keep("the promoted version failed and will be tried again")
    return Load(now.promoted)


def _unpromoted(now: Snapshot) -> Action:
    if now.serving is not None and now.on_unpromoted == "unload":
        return Unload()
    return Keep("nothing is promoted")
