import pytest

from service.registry.inside.numbers import milliseconds


@pytest.mark.parametrize(
    ("value", "expected"),
    [(None, 0), ("", 0), (0, 0), (1_700_000_000_000, 1_700_000_000_000), ("17", 17)],
)
def test_a_time_is_read(value: object, expected: int) -> None:
    """A number, or its digits; 0 where there is none."""
    assert milliseconds(value) == expected


@pytest.mark.parametrize("value", ["9" * 5000, 2**63, -1, 1.5, "x", "²", "9" * 19, [], b"1"])
def test_anything_else_is_told_as_one_error(value: object) -> None:
    """However long it is."""
    with pytest.raises(ValueError, match="a time is wanted"):
        milliseconds(value)
