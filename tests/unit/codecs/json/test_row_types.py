"""How many types of rows are kept."""

import pytest

from service.codecs.json.row_types import RowTypes

LIMIT_BYTES = 100_000


def test_a_set_of_names_has_one_type() -> None:
    """In their order."""
    types = RowTypes()
    assert types.of(["a", "b"]) is types.of(("a", "b"))
    assert types.of(["a", "b"]) is not types.of(["b", "a"])


@pytest.mark.parametrize(("count", "characters"), [(1, 5), (1, 50_000), (150, 5), (150, 500)])
def test_types_are_kept_by_their_size(count: int, characters: int) -> None:
    """A model that names its outputs as it likes fills no memory, and one type is always kept."""
    types = RowTypes(LIMIT_BYTES)
    most = 0
    for answer in range(300):
        names = [f"{answer} {at}".ljust(characters) for at in range(count)]
        row = types.of(names)
        assert types.of(names) is row
        most = max(most, types.kept_bytes)
    assert most <= LIMIT_BYTES + 150 * (500 + 500)


def test_a_row_of_very_many_names_is_a_dict() -> None:
    """A type of its own would take as long to be made as thousands of rows."""
    names = [f"n{at}" for at in range(5_000)]
    assert RowTypes().of(names)(*range(5_000)) == dict(zip(names, range(5_000), strict=True))
