"""Read an Arrow IPC stream that anybody may have sent."""

import struct
from collections.abc import Iterator
from contextlib import contextmanager

import pyarrow as pa
import pyarrow.ipc

from service.codecs.arrow._message import announced
from service.core.errors import BodyTooLargeError, MalformedBodyError

VALUE_BYTES = 8
"""What a value counts for at least: of so many bits Python's references and wide numbers are."""

_END = b"\xff\xff\xff\xff\x00\x00\x00\x00"


def read_table(body: bytes, max_decoded_bytes: int, max_rows: int) -> pa.Table:
    """Return the batches of a stream as one table, over the body's own buffers.

    Raise MalformedBodyError for what is no stream, or not a whole one: its end must be marked, as
    every writer does, since a body that was cut between two batches would look like a shorter one.
    Raise BodyTooLargeError, before anything is decompressed, for more than `max_decoded_bytes`
    or `max_rows`.
    """
    with reading():
        _check_size(body, max_decoded_bytes, max_rows)
        source = pa.BufferReader(body)
        # No threads of Arrow's: THREADS_PER_WORKER is what a worker may use.
        options = pa.ipc.IpcReadOptions(use_threads=False)
        table = pa.ipc.open_stream(source, options=options).read_all()
        end = source.tell()
    if end != len(body) or not body.endswith(_END):
        raise MalformedBodyError("the body is no whole Arrow IPC stream: its end is not marked")
    return table


@contextmanager
def reading() -> Iterator[None]:
    """Tell whatever Arrow raises as what it means to the caller."""
    try:
        yield
    except MemoryError as error:
        raise BodyTooLargeError("the Arrow stream needs more memory than there is") from error
    except (pa.ArrowException, OSError, ValueError, TypeError, struct.error) as error:
        reason = str(error).partition("\n")[0]
        raise MalformedBodyError(f"the body is no Arrow IPC stream: {reason}") from error


def check_decoded(size: int, limit: int) -> None:
    """Raise BodyTooLargeError for a stream that takes more bytes than this, once decoded."""
    if size > limit:
        raise BodyTooLargeError(
            f"the Arrow stream holds {size} bytes once it is decoded, and {limit} are taken "
            "(8 x MAX_BODY_BYTES, or less by its own size)"
        )


def _check_size(body: bytes, limit: int, max_rows: int) -> None:
    """Hold what the stream's messages announce against the limits."""
    size = rows = 0
    for message in pa.ipc.MessageReader.open_stream(pa.BufferReader(body)):
        inside = memoryview(message.body) if message.body is not None else memoryview(b"")
        found = announced(message.metadata.to_pybytes(), inside)
        size += found.decoded_bytes
        rows += found.rows
        check_decoded(max(size, rows * VALUE_BYTES), limit)
        if rows > max_rows:
            raise BodyTooLargeError(
                f"the Arrow stream has {rows} rows, and {max_rows} are taken (one for each 32 "
                "bytes of MAX_BODY_BYTES): send fewer at a time"
            )
