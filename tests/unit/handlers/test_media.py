"""Which kind a body is of, and which kind of answer is wanted."""

import pytest

from service.core.errors import NotAcceptableError, UnsupportedContentTypeError
from service.handlers.media import Media, check_encoding, kind_of_answer, kind_of_body

JSON, ARROW = Media.JSON, Media.ARROW


@pytest.mark.parametrize(
    ("content_type", "kind"),
    [
        (None, JSON),
        ("", JSON),
        ("application/json", JSON),
        ("Application/JSON; charset=utf-8", JSON),
        ("application/x.y+json", JSON),
        ("application/vnd.apache.arrow.stream", ARROW),
        (" application/VND.apache.arrow.stream ;x=1", ARROW),
    ],
)
def test_a_bodys_kind_is_what_it_says(content_type: str | None, kind: Media) -> None:
    """JSON where it says nothing."""
    assert kind_of_body(content_type) is kind


@pytest.mark.parametrize("encoding", ["", "identity", " Identity ,", "identity, identity"])
def test_a_body_may_say_that_it_comes_as_it_is(encoding: str) -> None:
    """In any way of writing that."""
    check_encoding(encoding)


@pytest.mark.parametrize("encoding", ["gzip", "identity, BR", "gzip, identity", "x", "\x00"])
def test_another_encoding_is_refused_by_name(encoding: str) -> None:
    """Also one that nobody knows, or among others."""
    with pytest.raises(UnsupportedContentTypeError, match="Content-Encoding is '"):
        check_encoding(encoding)


@pytest.mark.parametrize(
    "content_type", ["text/csv", "text/x+json", "application/vnd.apache.arrow.file", "json"]
)
def test_another_kind_is_refused_with_what_to_send(content_type: str) -> None:
    """By name."""
    with pytest.raises(UnsupportedContentTypeError, match=r"apache\.arrow\.stream") as caught:
        kind_of_body(content_type)
    assert content_type in str(caught.value)


@pytest.mark.parametrize("body", [JSON, ARROW])
@pytest.mark.parametrize(
    "accept",
    [
        None,
        "",
        "*/*",
        "application/*",
        "text/html, */*;q=0.1",
        f"{JSON}, {ARROW}",
        f"{JSON};q=0.5, {ARROW};q=0.5",
        "*/*;q=0.5, application/*;q=0.2",
        "nonsense",
        "application/json;q=much",
        "application/json;q=2",
        ",",
    ],
)
def test_an_answer_is_of_the_bodys_kind_where_nothing_else_is_wanted_more(
    accept: str | None, body: Media
) -> None:
    """Also where what is said can't be read."""
    assert kind_of_answer(accept, body) is body


@pytest.mark.parametrize("body", [JSON, ARROW])
@pytest.mark.parametrize(
    ("accept", "kind"),
    [
        (JSON, JSON),
        (ARROW, ARROW),
        (ARROW.upper(), ARROW),
        (f"{JSON};q=0.8, {ARROW};q=0.9", ARROW),
        (f"{JSON} ; q=0.9 , {ARROW};q=0.8", JSON),
        (f"{JSON};charset=utf-8;q=1.0, */*;q=0.9", JSON),
        (f"{ARROW};q=0, */*", JSON),
        (f"{JSON};q=0.2, application/*;q=0.1", JSON),
        (f"{JSON};q=0, application/*;q=0.1", ARROW),
        (f"{JSON};q=0.1, {JSON};q=0.7, {ARROW};q=0.5", JSON),
    ],
)
def test_what_is_accepted_most_is_answered(accept: str, kind: Media, body: Media) -> None:
    """The more specific range counts, then the quality; whatever was sent."""
    assert kind_of_answer(accept, body) is kind


@pytest.mark.parametrize("body", [JSON, ARROW])
@pytest.mark.parametrize(
    "accept", ["text/html", "text/*", "*/*;q=0", f"{JSON};q=0, {ARROW};q=0.0", "image/*, text/csv"]
)
def test_where_nothing_fits_there_is_no_answer(accept: str, body: Media) -> None:
    """The error names both kinds."""
    with pytest.raises(NotAcceptableError, match=r"apache\.arrow\.stream"):
        kind_of_answer(accept, body)
