"""Arrow IPC streams as callers write and read them."""

from collections.abc import Mapping
from typing import Any

import pyarrow as pa
import pyarrow.ipc

ARROW = "application/vnd.apache.arrow.stream"
JSON = "application/json"


def stream(
    table: Any,
    *,
    metadata: Mapping[str, str] | None = None,
    compression: str | None = None,
    batch_rows: int | None = None,
) -> bytes:
    """Write a table, or named columns, as a stream."""
    table = pa.table(dict(table)) if isinstance(table, Mapping) else table
    if metadata is not None:
        table = table.replace_schema_metadata(dict(metadata))
    sink = pa.BufferOutputStream()
    options = pa.ipc.IpcWriteOptions(compression=compression)
    with pa.ipc.new_stream(sink, table.schema, options=options) as writer:
        writer.write_table(table, max_chunksize=batch_rows)
    written: bytes = sink.getvalue().to_pybytes()
    return written


def table_of(body: bytes) -> Any:
    """Read a stream."""
    return pa.ipc.open_stream(body).read_all()
