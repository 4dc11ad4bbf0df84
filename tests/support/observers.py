"""An observer that keeps what it is told."""

from collections.abc import Callable
from typing import Any

from service.telemetry.observer import EVENTS


class Recording:
    """Keeps each event with what was said of it, in order."""

    def __init__(self) -> None:
        self.events: list[tuple[Any, ...]] = []

    def __getattr__(self, name: str) -> Callable[..., None]:
        """Return what takes an event."""
        if name not in EVENTS:
            raise AttributeError(name)

        def note(*told: Any) -> None:
            self.events.append((name, *told))

        return note

    def told(self, *names: str) -> list[tuple[Any, ...]]:
        """Return the events of these names, in order."""
        return [event for event in self.events if event[0] in names]

    def story(self) -> list[tuple[Any, ...]]:
        """Return all events, versions by their numbers, without durations and states' reasons."""
        return [(event[0], *_short(*event)) for event in self.events]


def _short(event: str, *told: Any) -> tuple[Any, ...]:
    match event:
        case "version_stored":
            return (told[0].version.version,)
        case "serving_changed":
            return tuple(version and version.version for version in told)
        case "promotion_began":
            return (told[0].version,)
        case "gate_ended":
            return (told[0].version, told[1].gate)
        case "promotion_ended":
            return (told[0].version, *told[1:])
        case _:
            return (told[0].version, *told[1:2])
