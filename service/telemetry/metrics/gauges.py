"""How one model stands at a moment, as far as metrics show it."""

from collections.abc import Mapping

import msgspec


class ServingGauges(msgspec.Struct, frozen=True, kw_only=True):
    """The version that serves: what it is, what waits for it, and its workers by what they do."""

    version: str
    digest: str
    run_id: str
    python: str
    predictor: str
    pending: int
    unanswered: int
    workers_wanted: int
    workers: Mapping[str, int]


class ModelGauges(msgspec.Struct, frozen=True, kw_only=True):
    """One model under its name in this service.

    `live` are the versions of which anything is left. Versions are texts: a run's is its id.
    `waiting_s` is how long a promotion has waited for its version's environment, 0 where none does.
    """

    name: str
    ready: bool
    promoted: str | None
    pinned: str | None
    registry_age_s: float | None
    failed_passes: int
    serving: ServingGauges | None
    live: frozenset[str]
    builds: bool = False
    """Whether an environment is being built."""
    waiting_s: float = 0.0
