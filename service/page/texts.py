"""Texts of registries and models, as the page shows them."""

from functools import lru_cache

from service.core.text import LISTED_CHARACTERS, NAME_CHARACTERS, presentable

_KEPT = 4_096
"""At most this many texts are kept as they are shown: pages look twice a second, and few change."""


@lru_cache(_KEPT)
def name_of(text: str) -> str:
    """Return a name, a version, an address or the like, short, printable, without credentials."""
    return presentable(text, NAME_CHARACTERS)


@lru_cache(_KEPT)
def reason_of(text: str) -> str:
    """Return a sentence, short, printable, without credentials."""
    return presentable(text, LISTED_CHARACTERS)
