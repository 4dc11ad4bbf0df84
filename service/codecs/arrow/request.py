"""Turn an Arrow IPC stream into a Call."""

from collections import Counter
from typing import Any

import msgspec
import pyarrow as pa

from service.codecs.arrow.columns import to_reader
from service.codecs.arrow.stream import VALUE_BYTES, check_decoded, read_table, reading
from service.codecs.places import in_columns
from service.contracts.contract import Call, Contract, Layout, Values
from service.contracts.faults import decode
from service.core.errors import ContractViolationError, MalformedBodyError

PARAMS_KEY = b"hotswap.params"
"""The schema's metadata under this key is the params, as a JSON object."""


class ArrowRequests:
    """Reads the requests of one contract. Every check of the other forms holds."""

    def __init__(self, contract: Contract) -> None:
        self._contract = contract
        self._named = contract.layout in {Layout.COLUMNS, Layout.TENSORS}
        self._readers = (
            [
                to_reader(spec, described)
                for spec, described in zip(
                    contract.taken, contract.signature["inputs"], strict=True
                )
            ]
            if self._named
            else []
        )
        self._places = in_columns(contract)
        self._params: msgspec.json.Decoder[dict[str, msgspec.Raw] | None] = msgspec.json.Decoder(
            dict[str, msgspec.Raw] | None
        )

    def decode(self, body: bytes, max_decoded_bytes: int, max_rows: int = 2**31) -> Call:
        """Validate a stream and take its columns.

        Raise ContractViolationError, MalformedBodyError, and BodyTooLargeError for more bytes than
        these once it is decoded, or more rows.
        """
        if not self._named:
            wanted = "JSON with instances, since this model's inputs have no names"
            raise ContractViolationError("", None, wanted, "an Arrow stream")
        table = read_table(body, max_decoded_bytes, max_rows)
        with reading():
            schema = table.schema
            names = Counter(schema.names)
            metadata: dict[bytes, bytes] = schema.metadata or {}
        if not table.num_rows:
            raise ContractViolationError("", None, "at least 1 row", "0 rows")
        taken = self._contract.taken
        check_decoded(table.num_rows * len(taken) * VALUE_BYTES, max_decoded_bytes)
        self._check_names(names, schema)
        columns: list[Values] = []
        for spec, read in zip(taken, self._readers, strict=True):
            if spec.name in names:
                with reading():
                    column = _with_rows(table.column(schema.get_field_index(spec.name)))
                    column.validate(full=True)
                columns.append(read(column, max_decoded_bytes))
            elif spec.required:
                raise ContractViolationError(f"columns.{spec.name}", None, "a value", "nothing")
            else:
                columns.append([])
        params = self._read_params(metadata.get(PARAMS_KEY))
        return self._contract.call_of(table.num_rows, columns, params, self._places)

    def _check_names(self, names: Counter[str], schema: pa.Schema) -> None:
        """Raise for a column that stands there twice, or is unknown where those are refused."""
        known = {spec.name for spec in self._contract.taken}
        for name, times in names.items():
            if name in known and times > 1:
                wanted, got = "one column of this name", f"{times}"
                raise ContractViolationError(f"columns.{name}", None, wanted, got)
            if name not in known and self._contract.refuse_unknown:
                got = f"a column of {schema.field(schema.names.index(name)).type}"
                raise ContractViolationError(f"columns.{name}", None, "no field of this name", got)

    def _read_params(self, given: bytes | None) -> dict[str, Any] | None:
        if given is None:
            return None
        try:
            return decode(self._params, given, "params")
        except MalformedBodyError as error:
            key = PARAMS_KEY.decode()
            raise MalformedBodyError(f"{key} in the schema's metadata: {error}") from None


def _with_rows(column: pa.ChunkedArray) -> pa.ChunkedArray:
    """Leave out batches of no rows, which may have no buffers either."""
    return pa.chunked_array([chunk for chunk in column.chunks if len(chunk)], column.type)
