"""The indexes that the operator has chosen, from which packages come."""

from collections.abc import Mapping

_PYPI = "https://pypi.org/simple"
_DEFAULTS = ("UV_DEFAULT_INDEX", "UV_INDEX_URL")
_MORE = ("UV_INDEX", "UV_EXTRA_INDEX_URL", "UV_FIND_LINKS")


def trusted_urls(variables: Mapping[str, str]) -> tuple[str, ...]:
    """Return where packages may come from: uv's own index unless another one takes its place."""
    named = [_address(word) for name in _DEFAULTS for word in variables.get(name, "").split()]
    more = [
        _address(word)
        for name in _MORE
        for word in variables.get(name, "").replace(",", " ").split()
    ]
    return (*(named or [_PYPI]), *more)


def _address(word: str) -> str:
    """Return an index's address without the name that may stand before it."""
    name, sign, address = word.partition("=")
    return address if sign and "/" not in name else word
