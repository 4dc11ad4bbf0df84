"""Words of a fixed set, each of which is its own text."""

from enum import Enum


class TextEnum(str, Enum):
    """As StrEnum: written out, a member is its value."""

    def __str__(self) -> str:
        return str(self.value)
