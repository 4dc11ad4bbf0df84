"""The snapshot from which it is decided what to do next."""

from typing import Literal

import msgspec

from service.core.versions import ModelVersion


class Snapshot(msgspec.Struct, frozen=True, kw_only=True):
    """How things stand.

    `wanted` is what is pinned, or else what the last good look at the registry found; it means
    nothing before there was either (`known`). `loading` is the candidate under way, `serving` what
    answers requests. `refused` was refused by a gate or on probation, `backing_off` failed for a
    reason that passes and is not yet to be tried again. `fallback` is the last known good version
    in the store, `unreachable` whether the registry could not be asked the last time, and `held`
    whether it is unknown if a version is pinned: then nothing else than the last known good version
    may be loaded.
    """

    known: bool
    wanted: ModelVersion | None
    serving: ModelVersion | None
    loading: ModelVersion | None
    refused: frozenset[ModelVersion] = frozenset()
    backing_off: frozenset[ModelVersion] = frozenset()
    on_unpromoted: Literal["keep", "unload"] = "keep"
    fallback: ModelVersion | None = None
    unreachable: bool = False
    held: bool = False
