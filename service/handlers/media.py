"""Which kind a body is of, and which kind of answer its caller wants (RFC 9110, section 12.5.1)."""

from service.codecs.catalog import ARROW, ROWS_AND_COLUMNS
from service.core.errors import NotAcceptableError, UnsupportedContentTypeError
from service.core.text import presentable
from service.core.text_enum import TextEnum


class Media(TextEnum):
    """The kinds of bodies, and of their answers, that `/predict` speaks."""

    JSON = "application/json"
    ARROW = "application/vnd.apache.arrow.stream"


CODECS = {Media.JSON: ROWS_AND_COLUMNS, Media.ARROW: ARROW}
"""The codec of each kind."""

_ANY = frozenset({"", "*/*"})
_AS_IT_IS = frozenset({"", "identity"})


def check_encoding(encoding: str) -> None:
    """Raise UnsupportedContentTypeError for a body that says that it was compressed as a whole.

    Its bytes are not looked at: where they are plain, the header is false, and a proxy or another
    server on the way would refuse them.
    """
    if any(coding.strip().lower() not in _AS_IT_IS for coding in encoding.split(",")):
        raise UnsupportedContentTypeError(
            f"the body's Content-Encoding is {presentable(encoding, 80)!r}, and none is taken; "
            "send it as it is, or an Arrow stream whose buffers are compressed"
        )


def kind_of_body(content_type: str | None) -> Media:
    """Return a body's kind: JSON of any sort, also where it does not say what it is, or Arrow.

    Raise UnsupportedContentTypeError for others.
    """
    if content_type is None or content_type == Media.JSON:
        return Media.JSON
    kind = _without_parameters(content_type) or Media.JSON
    if kind == Media.ARROW:
        return Media.ARROW
    if kind == Media.JSON or (kind.startswith("application/") and kind.endswith("+json")):
        return Media.JSON
    raise UnsupportedContentTypeError(
        f"the content type is {kind!r}; send application/json "
        f"(curl: -H 'content-type: application/json') or {Media.ARROW}"
    )


def kind_of_answer(accept: str | None, body: Media) -> Media:
    """Return the kind of answer that is accepted most, the body's own where both are alike.

    Ranges that can't be read count for nothing. Raise NotAcceptableError where neither fits.
    """
    if accept is None or accept in _ANY or accept == body:
        return body
    ranges = [found for part in accept.split(",") if (found := _range(part))]
    if not ranges:
        return body
    other = Media.JSON if body is Media.ARROW else Media.ARROW
    weight, other_weight = _quality(ranges, body), _quality(ranges, other)
    if not (weight or other_weight):
        raise NotAcceptableError(
            f"what is accepted is {accept[:200]!r}; there is {Media.JSON} and {Media.ARROW}"
        )
    return body if weight >= other_weight else other


def _quality(ranges: list[tuple[str, float]], media: Media) -> float:
    """Return the quality that the most specific of the ranges gives to a kind, 0 for none."""
    for wanted in (media, media.partition("/")[0] + "/*", "*/*"):
        found = [quality for kind, quality in ranges if kind == wanted]
        if found:
            return max(found)
    return 0.0


def _range(part: str) -> tuple[str, float] | None:
    """Read `application/json;q=0.5`; None for what is no media range."""
    kind, *parameters = (item.strip().lower() for item in part.split(";"))
    quality = 1.0
    for parameter in parameters:
        name, _, value = parameter.partition("=")
        if name.strip() == "q":
            try:
                quality = float(value)
            except ValueError:
                return None
    if "/" not in kind or not 0 <= quality <= 1:
        return None
    return kind, quality


def _without_parameters(content_type: str) -> str:
    return content_type.partition(";")[0].strip().lower()
