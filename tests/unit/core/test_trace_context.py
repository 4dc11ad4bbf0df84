"""W3C Trace Context as callers send it."""

import pytest

from service.core.trace_context import Parent, parent_of, traceparent

TRACE, SPAN = "4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7"


def test_what_is_written_is_read_again() -> None:
    """And says that it is sampled."""
    found = parent_of(traceparent(1, 2).encode())
    assert found == Parent(1, 2, 1)
    assert found.is_sampled


@pytest.mark.parametrize(
    ("header", "flags"),
    [
        (f"00-{TRACE}-{SPAN}-01", 1),
        (f" 00-{TRACE}-{SPAN}-00 ", 0),
        (f"cc-{TRACE}-{SPAN}-01", 1),
        (f"cc-{TRACE}-{SPAN}-01-what-comes-later", 1),
    ],
)
def test_a_parent_is_read(header: str, flags: int) -> None:
    """Of a later version, too."""
    assert parent_of(header.encode()) == Parent(int(TRACE, 16), int(SPAN, 16), flags)


@pytest.mark.parametrize(
    "header",
    [
        "",
        "00",
        f"00-{TRACE}-{SPAN}",
        f"00-{TRACE}-{SPAN}-01-more",
        f"ff-{TRACE}-{SPAN}-01",
        f"00-{TRACE.upper()}-{SPAN}-01",
        f"00-{'0' * 32}-{SPAN}-01",
        f"00-{TRACE}-{'0' * 16}-01",
        f"00-{TRACE}-{SPAN}-01,00-{TRACE}-{SPAN}-01",
        "\xff" * 55,
    ],
)
def test_what_is_none_counts_as_absent(header: str) -> None:
    """As the standard has it."""
    assert parent_of(header.encode("latin-1")) is None
