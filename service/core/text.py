"""Texts that others wrote, made short and harmless before they are kept, sent or shown.

Every function here takes time in proportion to its text.
"""

from collections.abc import Iterable
from typing import Annotated

import msgspec

from service.core.redaction import redact

SENTENCE_CHARACTERS = 2_000
"""The length of a sentence: a reason, a verdict, an answer's detail, a value of a log line."""
DETAIL_CHARACTERS = 20_000
"""The length of a traceback in the log."""
ANSWER_CHARACTERS = 1_000
"""The length of what a caller is told of an error."""
Sentence = Annotated[str, msgspec.Meta(max_length=2 * SENTENCE_CHARACTERS)]
"""A sentence in a message of a child's, which was cut there; a longer one is not read."""
LISTED_CHARACTERS = 500
"""The length of a sentence where many of them are listed."""
LINE_CHARACTERS = 2_000
"""The length of a line that a child prints."""
NAME_CHARACTERS = 200
"""The length of a name, a version or a path where it is quoted within a sentence."""

_KEPT = "\t"
_BREAK = "\n"
_CONTROLS = (*range(0x20), *range(0x7F, 0xA0))
_DIRECTIONS = (0x061C, 0x200E, 0x200F, *range(0x202A, 0x202F), *range(0x2066, 0x206A))
"""Characters that change the order in which a terminal shows a text (UAX 9 of Unicode)."""
_SEPARATORS = (0x2028, 0x2029)
_UNENCODABLE = range(0xD800, 0xE000)
"""Halves of surrogate pairs, which UTF-8 has no bytes for."""
_UNSEEN = (
    *(0xAD, 0x180E, 0xFEFF, *range(0x200B, 0x200E), *range(0x2060, 0x2066), *range(0x206A, 0x2070)),
    *(*range(0xFFF9, 0xFFFC), *range(0x1D173, 0x1D17B), *range(0xE0000, 0xE0080)),
)
"""Characters that are shown as nothing at all, so that two names would look alike."""


def bounded(text: str, limit: int, *, unread: int = 0) -> str:
    """Return the text in at most `limit` characters, with a mark that says how much was cut.

    `unread` is how many characters were cut before. Only the mark is left where the limit has no
    room for more.
    """
    count = len(text) + unread
    if count <= limit:
        return text
    # The mark is as long as it is for the whole text, or a digit shorter.
    kept = min(len(text), max(0, limit - len(_cut_mark(count))))
    return text[:kept] + _cut_mark(count - kept)


def bounded_between(text: str, limit: int) -> str:
    """Return the text in at most `limit` characters; both ends are kept, as for a traceback."""
    if len(text) <= limit:
        return text
    kept = max(0, limit - len(_gap_mark(len(text))))
    first = kept // 2
    last = kept - first
    # A slice with a negative zero would be the whole text.
    return text[:first] + _gap_mark(len(text) - kept) + text[len(text) - last :]


def printable(text: str, *, lines: bool = False) -> str:
    r"""Return the text with what a terminal would obey written as an escape such as `\x1b`.

    Those are control characters, changes of direction, line separators, and what can't be encoded
    or seen. A line's end is one of them, unless `lines` are to stay lines.
    """
    if text.isprintable():
        return text
    return text.translate(_ESCAPES_IN_LINES if lines else _ESCAPES)


def presentable_lines(text: str, limit: int = DETAIL_CHARACTERS) -> str:
    """Do as `presentable` does with a traceback: lines stay lines, and both ends are kept."""
    # A text far beyond the limit is cut before it is read: that takes time, too.
    read = bounded_between(text, _READ_TIMES * limit)
    return bounded_between(printable(redact(read), lines=True), limit)


def presentable(text: str, limit: int = SENTENCE_CHARACTERS, *, unread: int = 0) -> str:
    """Return one printable line of at most `limit` characters, without credentials.

    `unread` is how many characters were cut before.

    This is what becomes of a text of a model, a registry or a caller before it is shown.
    """
    # Redacted before it is cut: half a URI no longer looks like one. What is far beyond the limit
    # is cut first, as it takes time and is cut anyway.
    read = text[: _READ_TIMES * limit]
    return bounded(printable(redact(read)), limit, unread=unread + len(text) - len(read))


def quoting(sentence: str, lines: Iterable[str], most: int = 10) -> str:
    """Return a sentence with the last lines that a program printed, made presentable, behind it."""
    quoted = [presentable(line.strip(), LISTED_CHARACTERS) for line in lines if line.strip()]
    return bounded(
        ": ".join(filter(None, (sentence, " | ".join(quoted[-most:])))), SENTENCE_CHARACTERS
    )


_READ_TIMES = 16


def _cut_mark(count: int) -> str:
    return f" ... ({count} more characters)"


def _gap_mark(count: int) -> str:
    return f"\n... ({count} characters are left out) ...\n"


def _escape(code: int) -> str:
    if code < 0x100:  # noqa: PLR2004 - two digits suffice
        return f"\\x{code:02x}"
    return f"\\u{code:04x}" if code < 0x10000 else f"\\U{code:08x}"  # noqa: PLR2004


_ESCAPES = {
    code: {"\n": "\\n", "\r": "\\r"}.get(chr(code), _escape(code))
    for code in (*_CONTROLS, *_DIRECTIONS, *_SEPARATORS, *_UNENCODABLE, *_UNSEEN)
    if chr(code) != _KEPT
}
_ESCAPES_IN_LINES = {code: escape for code, escape in _ESCAPES.items() if chr(code) != _BREAK}
