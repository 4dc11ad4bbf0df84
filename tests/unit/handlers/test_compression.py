"""gzip and deflate: what is inflated, what is refused, and when an answer is deflated."""

import gzip
import tracemalloc
import zlib
from collections.abc import Callable

import pytest

from service.core.errors import BodyTooLargeError, MalformedBodyError, UnsupportedContentTypeError
from service.handlers.answer import Answer
from service.handlers.compression import Compression, coding_of, wanted_coding

MOST = 1_000_000
BODY = bytes(range(256)) * 1_000


@pytest.mark.parametrize(
    ("coding", "squeeze"),
    [("gzip", gzip.compress), ("GZip", gzip.compress), ("deflate", zlib.compress)],
)
@pytest.mark.parametrize("a_chunk", [1, 100, 10**6])
async def test_a_body_is_inflated_whatever_its_chunks_are(
    coding: str, squeeze: Callable[[bytes], bytes], a_chunk: int
) -> None:
    """To the byte."""
    sent = squeeze(BODY)
    chunks = [sent[at : at + a_chunk] for at in range(0, len(sent), a_chunk)]
    assert b"".join(await Compression(MOST).inflated(chunks, coding)) == BODY


async def test_a_body_that_is_not_compressed_is_left() -> None:
    """By either name of that."""
    for encoding in ("", "identity"):
        assert await Compression(MOST).inflated([b"x"], encoding) == [b"x"]


async def test_a_bomb_costs_no_more_than_what_is_taken() -> None:
    """Neither one that is a little too large nor one a thousand times."""
    exact = gzip.compress(bytes(MOST))
    assert len(b"".join(await Compression(MOST).inflated([exact], "gzip"))) == MOST
    bomb = gzip.compress(bytes(200 * MOST), 9)
    tracemalloc.start()
    try:
        for body in (gzip.compress(bytes(MOST + 1)), bomb):
            with pytest.raises(BodyTooLargeError, match="MAX_BODY_BYTES"):
                await Compression(MOST).inflated([body], "gzip")
        _, peak_bytes = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak_bytes < 4 * MOST


@pytest.mark.parametrize(
    ("body", "told"),
    [
        (b"plain", "no gzip"),
        (b"", "ends before"),
        (gzip.compress(BODY)[:-1], "ends before"),
        (gzip.compress(BODY) + b"x", "goes on"),
        (gzip.compress(BODY)[:50] + b"\xff" * 50, "no gzip|ends before"),
    ],
)
async def test_what_is_no_gzip_is_malformed(body: bytes, told: str) -> None:
    """Wherever it goes wrong."""
    with pytest.raises(MalformedBodyError, match=told):
        await Compression(MOST).inflated([body], "gzip")


def test_other_codings_are_refused() -> None:
    """Several after one another, too."""
    for encoding in ("br", "zstd", "gzip, gzip", "x" * 10_000):
        with pytest.raises(UnsupportedContentTypeError) as refused:
            coding_of(encoding)
        assert len(str(refused.value)) < 300


@pytest.mark.parametrize(
    ("accept", "size", "coding"),
    [
        ("gzip", 5_000, "gzip"),
        ("deflate", 5_000, "deflate"),
        ("gzip, deflate", 5_000, "gzip"),
        ("gzip;q=0.5, deflate", 5_000, "deflate"),
        ("gzip;q=0, deflate;q=0", 5_000, ""),
        ("gzip;q=x", 5_000, ""),
        ("gzip;q=nan", 5_000, ""),
        ("br, identity", 5_000, ""),
        ("", 5_000, ""),
        ("gzip", 500, ""),
    ],
)
def test_an_answer_is_deflated_where_that_is_accepted(accept: str, size: int, coding: str) -> None:
    """And where it is large enough to gain from it."""
    assert wanted_coding(accept, size) == coding


@pytest.mark.parametrize("body", [BODY, BODY[:2_000]])
async def test_what_is_deflated_is_inflated_by_what_clients_have(body: bytes) -> None:
    """On the event loop or beside it."""
    for coding, inflate in (("gzip", gzip.decompress), ("deflate", zlib.decompress)):
        answer = Answer(200, [(b"a", b"b")], memoryview(body), coding)
        applied = await Compression(MOST).applied(answer)
        assert inflate(bytes(applied.body)) == body
        assert applied.headers == [
            (b"a", b"b"),
            (b"content-encoding", coding.encode()),
            (b"vary", b"accept-encoding"),
        ]
