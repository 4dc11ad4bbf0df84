"""The place of a span in its trace, as W3C Trace Context writes it."""

import re

import msgspec

SAMPLED = 1
_PARENT = re.compile(rb"([0-9a-f]{2})-([0-9a-f]{32})-([0-9a-f]{16})-([0-9a-f]{2})(-.*)?\Z")
_INVALID = b"ff"
_FIRST = b"00"


class TraceContext(msgspec.Struct, frozen=True, array_like=True):
    """A span of which others are children: `traceparent` and `tracestate`."""

    parent: str
    state: str = ""


class Parent(msgspec.Struct, frozen=True):
    """What a `traceparent` says."""

    trace_id: int
    span_id: int
    flags: int

    @property
    def is_sampled(self) -> bool:
        """Whether the caller records its own part."""
        return bool(self.flags & SAMPLED)


def parent_of(header: bytes) -> Parent | None:
    """Read a `traceparent`; None for what is none, which counts as absent."""
    found = _PARENT.match(header.strip())
    if found is None:
        return None
    version, trace, span, flags, more = found.groups()
    # Later versions may say more behind a dash; the first one may not.
    if version == _INVALID or (version == _FIRST and more is not None):
        return None
    trace_id, span_id = int(trace, 16), int(span, 16)
    if not (trace_id and span_id):
        return None
    return Parent(trace_id, span_id, int(flags, 16))


def traceparent(trace_id: int, span_id: int) -> str:
    """Write the `traceparent` of a span that is sampled."""
    return f"00-{trace_id:032x}-{span_id:016x}-{SAMPLED:02x}"
