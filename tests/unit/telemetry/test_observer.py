"""The observer that notes nothing."""

from service.telemetry.observer import NULL_OBSERVER, Observer


def test_the_null_observer_has_every_event() -> None:
    """What is told may be told to it."""
    assert isinstance(NULL_OBSERVER, Observer)
