"""gzip and deflate, both ways, under a bound and beside the event loop."""

import zlib
from collections.abc import Sequence

import anyio.to_thread
from anyio import CapacityLimiter

from service.core.errors import BodyTooLargeError, MalformedBodyError, UnsupportedContentTypeError
from service.core.text import presentable
from service.handlers.answer import Answer

_WINDOW_BITS = {"gzip": 31, "x-gzip": 31, "deflate": 15}
"""What zlib calls them: `deflate` is zlib's own form (RFC 9110, section 8.4.1.2)."""
_LEAST_BYTES = 1_024
"""A smaller answer is not compressed: it would be hardly smaller, and later."""
_LOOP_BYTES = 16_384
"""As much is compressed within some tenths of a millisecond, so on the event loop."""
_STEP_BYTES = 1_048_576
_FASTEST = 1
_SHOWN = 80
_TOGETHER = 2
"""So many bodies are inflated or deflated beside each other, each of MAX_BODY_BYTES at most."""


class Compression:
    """Inflates bodies and deflates answers; one for all calls."""

    def __init__(self, max_body_bytes: int) -> None:
        self._max_body_bytes = max_body_bytes
        self._turns = CapacityLimiter(_TOGETHER)

    async def inflated(self, chunks: Sequence[bytes], encoding: str) -> Sequence[bytes]:
        """Return a body as it was before it was compressed.

        Raise UnsupportedContentTypeError, MalformedBodyError for what was not compressed so, and
        BodyTooLargeError before more than MAX_BODY_BYTES are held.
        """
        coding = coding_of(encoding)
        if not coding:
            return chunks
        return await anyio.to_thread.run_sync(
            _inflate, chunks, coding, self._max_body_bytes, limiter=self._turns
        )

    async def applied(self, answer: Answer) -> Answer:
        """Return an answer in the coding that it is to have."""
        body, coding = answer.body, answer.coding
        if len(body) <= _LOOP_BYTES:
            body = _deflate(body, coding)
        else:
            body = await anyio.to_thread.run_sync(_deflate, body, coding, limiter=self._turns)
        headers = [(b"content-encoding", coding.encode()), (b"vary", b"accept-encoding")]
        return Answer(answer.status, [*answer.headers, *headers], body)


def coding_of(encoding: str) -> str:
    """Return what a body's Content-Encoding is, '' where it came as it is.

    Raise UnsupportedContentTypeError for another one, and for several.
    """
    coding = encoding.strip().lower()
    if coding in {"", "identity"}:
        return ""
    if coding not in _WINDOW_BITS:
        raise UnsupportedContentTypeError(
            f"the body's Content-Encoding is {presentable(encoding, _SHOWN)!r}; gzip and deflate "
            "are taken"
        )
    return coding


def wanted_coding(accept: str, size: int) -> str:
    """Return the coding that an answer of this size is to have, '' for none.

    Of those that are accepted alike, gzip. What can't be read counts for nothing.
    """
    if size < _LEAST_BYTES or not accept:
        return ""
    qualities = qualities_of(accept)
    best = max(("gzip", "deflate"), key=lambda coding: qualities.get(coding, 0.0))
    return best if qualities.get(best, 0.0) > 0 else ""


def qualities_of(accept: str) -> dict[str, float]:
    """Return how much each coding is wanted that `Accept-Encoding` names, in small letters.

    What can't be read counts for nothing.
    """
    qualities: dict[str, float] = {}
    for part in accept.split(","):
        coding, *parameters = (item.strip().lower() for item in part.split(";"))
        try:
            quality = float(next((p[2:] for p in parameters if p.startswith("q=")), "1"))
        except ValueError:
            continue
        qualities[coding] = quality
    return qualities


def _inflate(chunks: Sequence[bytes], coding: str, most: int) -> Sequence[bytes]:
    inflater = zlib.decompressobj(_WINDOW_BITS[coding])
    found: list[bytes] = []
    size = 0
    try:
        for chunk in chunks:
            rest = chunk
            while rest:
                if inflater.eof:
                    raise MalformedBodyError(f"the body goes on behind the end of its {coding}")
                # Never more than is taken, and a byte that tells that there is more.
                part = inflater.decompress(rest, min(_STEP_BYTES, most - size + 1))
                rest = inflater.unconsumed_tail or inflater.unused_data
                size += len(part)
                if size > most:
                    raise BodyTooLargeError(
                        f"the body is over {most} bytes once it is inflated (MAX_BODY_BYTES)"
                    )
                if part:
                    found.append(part)
    except zlib.error:
        raise MalformedBodyError(f"the body is no {coding}, as its Content-Encoding says") from None
    if not inflater.eof:
        raise MalformedBodyError(f"the body ends before its {coding} does")
    return found


def _deflate(body: bytes | memoryview, coding: str) -> bytes:
    deflater = zlib.compressobj(_FASTEST, zlib.DEFLATED, _WINDOW_BITS[coding])
    return deflater.compress(body) + deflater.flush()
