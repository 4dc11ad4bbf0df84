"""Which modules the fork server imports, so that each worker forked from it has them."""

_SKOPS = "service.workers.inside.preload_skops"
PRELOADED = ("service.workers.inside.preload", _SKOPS)


def preloaded(*, skops: bool) -> tuple[str, ...]:
    """Return them; without `skops`, a version in that format imports it itself."""
    return tuple(name for name in PRELOADED if skops or name != _SKOPS)
