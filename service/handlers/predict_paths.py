"""Which protocol, which model and which version a path asks for predictions."""

from collections.abc import Callable, Sequence
from functools import lru_cache
from typing import Generic, NamedTuple, Protocol, TypeVar

_NAME, _VERSION = "{name:str}", "{version:str}"
_KEPT = 1_024
"""So many of the paths that were asked for last are remembered."""


class Spoken(Protocol):
    """A protocol that is asked for predictions under paths of its own."""

    @property
    def paths(self) -> Sequence[str]:
        """Its paths, as the framework's routes have them."""
        ...


P = TypeVar("P", bound=Spoken)


class Asked(NamedTuple, Generic[P]):
    """What a path asks for: '' is the default model, and whichever version serves."""

    protocol: P
    name: str
    version: str
    route: str = ""
    """The path with its parameters' names."""


class _Path(NamedTuple, Generic[P]):
    protocol: P
    fixed: Sequence[tuple[int, str]]
    """Its segments that are no parameters, by where they stand."""
    name_at: int
    version_at: int
    """Where its parameters stand, 0 for one that it has not."""
    route: str


class PredictPaths(Generic[P]):
    """A table of all paths of some protocols."""

    def __init__(self, protocols: Sequence[P]) -> None:
        self.find: Callable[[str], Asked[P] | None] = lru_cache(_KEPT)(self._find)
        """Return what a path asks for, None where that is no prediction."""
        self._paths: dict[tuple[int, str], list[_Path[P]]] = {}
        """By how many segments they have, and the last one."""
        for protocol in protocols:
            for written in protocol.paths:
                segments = written.split("/")
                path = _Path(
                    protocol,
                    [(at, one) for at, one in enumerate(segments) if one not in {_NAME, _VERSION}],
                    segments.index(_NAME) if _NAME in segments else 0,
                    segments.index(_VERSION) if _VERSION in segments else 0,
                    written.replace(":str}", "}"),
                )
                self._paths.setdefault((len(segments), segments[-1]), []).append(path)

    def _find(self, path: str) -> Asked[P] | None:
        segments = path.split("/")
        for known in self._paths.get((len(segments), segments[-1]), ()):
            if all(segments[at] == fixed for at, fixed in known.fixed):
                # The first segment is empty, and stands for what a path does not have.
                name, version = segments[known.name_at], segments[known.version_at]
                if (name or not known.name_at) and (version or not known.version_at):
                    return Asked(known.protocol, name, version, known.route)
        return None
