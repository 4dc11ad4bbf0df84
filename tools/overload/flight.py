"""A request that is under way, and what the load and the transport say to each other of it."""

from typing import Protocol


class Flight:
    """One request: when it was due, by the loop's time, and whether it is a probe."""

    due_s = 0.0
    is_probe = False

    def give_up(self) -> None:
        """Hang up, as a caller does whose time is over."""
        raise NotImplementedError


class LoadRecorder(Protocol):
    """What is told of each request."""

    def note_sent(self, flight: Flight) -> None:
        """Count a request that goes out now."""

    def note_answer(self, flight: Flight, status: str) -> None:
        """Count an answer."""

    def note_broken(self, flight: Flight) -> None:
        """Count a request whose connection ended without an answer."""

    def note_unconnected(self, *, is_probe: bool) -> None:
        """Count a request that found no connection."""


class Transport(Protocol):
    """What sends requests."""

    @property
    def opening(self) -> int:
        """How many requests wait for their connection."""

    def send(self, due_s: float, *, is_probe: bool) -> None:
        """Send a request that was due at that time."""
