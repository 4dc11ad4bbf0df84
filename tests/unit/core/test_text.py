import pytest

from service.core.text import bounded, bounded_between, presentable, printable, quoting


@pytest.mark.parametrize("limit", [40, 41, 99, 100, 101, 1000])
def test_a_bounded_text_says_how_much_is_missing(limit: int) -> None:
    """What is kept and what the mark counts are the whole text together."""
    text = "x" * 1000
    shown = bounded(text, limit)
    assert len(shown) <= limit
    if limit == 1000:
        assert shown == text
    else:
        kept = shown.count("x")
        assert shown == f"{'x' * kept} ... ({1000 - kept} more characters)"


def test_both_ends_of_a_traceback_are_kept() -> None:
    """The first lines say what was called, the last ones what was raised."""
    shown = bounded_between("begin" + "x" * 1000 + "end", 100)
    assert len(shown) <= 100
    assert shown.startswith("begin")
    assert shown.endswith("end")
    assert "characters are left out" in shown


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("plain é 🦊\tb", "plain é 🦊\tb"),
        ("\x1b[31mred\x1b[0m", r"\x1b[31mred\x1b[0m"),
        ("\x9b31mred\x00\x7f", r"\x9b31mred\x00\x7f"),
        ("a\r\nb\u2028c\u2029", r"a\r\nb\u2028c\u2029"),
        ("a\u202eb\u2066c\u200f", r"a\u202eb\u2066c\u200f"),
        ("half \ud800", r"half \ud800"),
        ("un\U000e0041seen\ufeff", r"un\U000e0041seen\ufeff"),
        ("a\u200bb\u00adc\u2060", r"a\u200bb\xadc\u2060"),
    ],
)
def test_nothing_is_left_that_a_terminal_obeys(text: str, shown: str) -> None:
    """Escapes, changes of direction and line ends are written out; other letters stay."""
    assert printable(text) == shown


def test_lines_stay_lines_where_they_are_wanted() -> None:
    """A traceback is read by lines, and may still not move the cursor."""
    assert printable("a\nb\x1b[1A", lines=True) == "a\nb\\x1b[1A"


def test_a_presentable_text_is_one_line_without_credentials() -> None:
    """Short, printable, redacted; the mark counts what the caller's text had."""
    text = "http://u:s3cret@h failed\n" + "x" * 100_000
    shown = presentable(text, 100)
    assert shown.startswith(r"http://***@h failed\nxxx")
    assert len(shown) <= 100
    assert 99_000 < int(shown.split("(")[1].split()[0]) < 100_100


def test_a_programs_last_lines_are_quoted_behind_a_sentence() -> None:
    """Ten at most, each one made presentable; the sentence alone where it printed nothing."""
    told = quoting(
        "it failed", ["first", *(f"line {number}\x1b[0m\n" for number in range(10)), " "]
    )
    lines = [rf"line {number}\x1b[0m" for number in range(10)]
    assert told == f"it failed: {' | '.join(lines)}"
    assert quoting("it failed", []) == "it failed"
