"""A body of rows, cut into bodies that have some of them each."""

import json
from typing import Any

import pytest
from hypothesis import event, given
from hypothesis import strategies as st

from service.codecs.rows_and_columns import chunks
from service.codecs.rows_and_columns.chunks import in_chunks

CHUNK_BYTES = 8
REACH_BYTES = 48


@pytest.fixture(autouse=True)
def small_pieces(monkeypatch: pytest.MonkeyPatch) -> None:
    """Cut after a few bytes."""
    monkeypatch.setattr(chunks, "CHUNK_BYTES", CHUNK_BYTES)
    monkeypatch.setattr(chunks, "REACH_BYTES", REACH_BYTES)


def rows_in(body: bytes) -> list[Any]:
    """Return the rows of all pieces, in order."""
    return [row for piece in in_chunks(body) for row in json.loads(piece)["instances"]]


@pytest.mark.parametrize("separators", [(",", ":"), (", ", ": "), (" ,\n ", " : ")])
def test_pieces_have_all_rows_in_order(separators: tuple[str, str]) -> None:
    """Whatever white space stands between them."""
    rows = [{"a": number, "b": [1, {"c": "}"}]} for number in range(7)]
    body = json.dumps({"instances": rows}, separators=separators).encode()
    assert rows_in(body) == rows
    assert rows_in(b" \n" + body + b"\t\n") == rows


def test_rows_without_names_are_cut_too() -> None:
    """Arrays, for models whose inputs have no names."""
    rows = [[number, number] for number in range(30)]
    body = json.dumps({"instances": rows}).encode()
    assert rows_in(body) == rows
    assert len(list(in_chunks(body))) > 1


def test_a_small_body_is_one_piece() -> None:
    """There is nothing to cut."""
    assert list(in_chunks(b'{"instances": [{}]}')) == [b'{"instances":[{}]}']


ROWS = b'[{"a": 1}, {"a": 2}, {"a": 3}, {"a": 4}]'


@pytest.mark.parametrize(
    "body",
    [
        b'{"instances": %b, "params": {"p": [{"a": 1}, {"a": 2}]}}' % ROWS,
        b'{"params": {}, "instances": %b}' % ROWS,
        b'{"instances": %b, "instances": %b}' % (ROWS, ROWS),
        b'{"instances": [], "other": %b}' % ROWS,
        b'{"columns": {"a": %b}}' % ROWS,
        b'{"instances": [{"a": 1}, {"a": 2}, {"a": "no end}]}',
        b'{"instances": [{"a": 1}, {"a": 2}, {"a": 3},]}',
        b'{"instances": [{"a": 1} {"a": 2}, {"a": 3}]}',
        b'{"instances": [{"a": 1}, {"a": 2}, {"a": 3}]]}',
        b'{"instances": [{"a": 1}, {"a": 2}]}, {"a": 3}]}',
        b'{"instances": [{"a": 1}], "x": [{"a": 2}, {"a": 3}]}',
        b'{"instances": [1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16, 17, 18, 19]}',
        b'{"instances": [{"a": "%b"}]}' % (b"long" * 20),
        b"",
        b"[]",
        b"no JSON",
    ],
)
def test_what_is_no_body_of_rows_alone_is_to_be_read_as_a_whole(body: bytes) -> None:
    """Nobody may take the pieces before the end for the rows: some come first in some of these."""
    with pytest.raises(ValueError, match=r".+"):
        rows_in(body)


TRICKY = st.sampled_from(['},{"a":1', "}, {", '"', "\\", "]}", '],"instances":[', "[{", "é"])
SCALARS = st.none() | st.integers() | st.text(max_size=4) | st.lists(TRICKY).map("".join)
NESTED = st.recursive(
    SCALARS,
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(TRICKY | st.just("a"), inner, max_size=2)
    ),
    max_leaves=6,
)


@given(
    rows=st.lists(st.dictionaries(st.sampled_from("abc"), NESTED, min_size=1), min_size=1),
    after=st.just(None) | st.none() | st.lists(NESTED, max_size=2),
    ascii_only=st.booleans(),
)
def test_pieces_never_have_other_rows(
    rows: list[Any], after: list[Any] | None, *, ascii_only: bool
) -> None:
    """Strings and nested values may look like the end of a row: then it is read as a whole."""
    document = {"instances": rows} if after is None else {"instances": rows, "other": after}
    body = json.dumps(document, ensure_ascii=ascii_only).encode()
    try:
        found = rows_in(body)
    except ValueError:
        event("as a whole" if after is None else "as a whole, since it has more than rows")
    else:
        event(f"{min(3, len(list(in_chunks(body))))} pieces")
        assert after is None
        assert found == rows
