"""In which formats the versions in the store are, told before anything heavy is imported."""

from pathlib import Path

_SKOPS = b"serialization_format: skops"
_READ_BYTES = 1_000_000
"""Of a longer file only this much is read: a wrong guess costs a load a second."""


def may_need_skops(cache_dir: Path) -> bool:
    """Return whether some stored version is in skops' format, or none is stored to tell by."""
    described = list(cache_dir.glob("versions/*/model/MLmodel"))
    return not described or any(map(_is_skops, described))


def _is_skops(described: Path) -> bool:
    try:
        with described.open("rb") as content:
            return _SKOPS in content.read(_READ_BYTES)
    except OSError:
        return False  # another service may prune it just now
