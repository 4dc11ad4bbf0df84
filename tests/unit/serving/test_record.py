"""What is known of how often a version fails."""

from service.serving.record import KEPT_REQUESTS, Known, Record


def test_nothing_is_known_before_the_first_request() -> None:
    """Nor is it that nothing fails."""
    assert Record().known(0) == Known(0, 0)


def test_only_the_last_requests_are_known() -> None:
    """A failure is forgotten when it is too far back."""
    record = Record()
    for place in (1, 500, KEPT_REQUESTS):
        record.note_failure(place)
    assert record.known(KEPT_REQUESTS) == Known(KEPT_REQUESTS, 3)
    assert record.known(KEPT_REQUESTS + 1) == Known(KEPT_REQUESTS, 2)
    assert record.known(KEPT_REQUESTS + 499) == Known(KEPT_REQUESTS, 2)
    assert record.known(KEPT_REQUESTS + 500) == Known(KEPT_REQUESTS, 1)
    assert record.known(3 * KEPT_REQUESTS) == Known(KEPT_REQUESTS, 0)


def test_of_many_failures_the_last_ones_are_kept_with_the_requests_among_them() -> None:
    """The share stays what it is, and the memory bounded."""
    record = Record()
    for place in range(2, 40_001, 2):
        record.note_failure(place)
    assert record.known(40_000) == Known(8191, 4096)
