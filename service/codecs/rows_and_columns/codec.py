"""The codec of `{"instances": [{"a": 1}, {"a": 2}]}` and `{"columns": {"a": [1, 2]}}`.

It is answered by `{"predictions": [{"y": 1}, {"y": 2}]}` or `{"predictions": {"y": [1, 2]}}`.
"""

from collections.abc import Generator

from service.codecs.bounds import Bounds
from service.codecs.codec import UNWRITABLE, Decoded, Form, Wanted, unwritable
from service.codecs.json.encoding import (
    encode_columns,
    encode_columns_chunked,
    encode_rows,
    encode_rows_chunked,
)
from service.codecs.json.reading_cost import ReadingCost, check_size
from service.codecs.places import in_columns, in_rows
from service.codecs.rows_and_columns.body import body_of, rows_in
from service.codecs.rows_and_columns.chunks import in_chunks
from service.codecs.rows_and_columns.faults import explain, form_of, refuse_unknown
from service.contracts import signature as signatures
from service.contracts.answer_size import values_in
from service.contracts.contract import Call, Contract, Predictions
from service.contracts.faults import decode
from service.contracts.filling import merge_chunks
from service.core.errors import ServiceError
from service.core.version_names import VersionNames

# To look a member of an enumeration up takes Python 3.11 a tenth of a microsecond.
_ROWS = Form.ROWS
BY_ROWS = Wanted(_ROWS)
BY_COLUMNS = Wanted(Form.COLUMNS)

_ROW_FRAME_BYTES = 5
_NUMBER_BYTES = 4
"""What a number takes in JSON at least, as a rule."""


class RowsAndColumns:
    """Reads and writes JSON for one contract; see Codec for what its members promise."""

    def __init__(self, contract: Contract) -> None:
        """Raise SignatureError for a contract whose types can't be read."""
        with signatures.being_read():
            self._body = body_of(contract)
        self._contract = contract
        self._names = [spec.name for spec in contract.inputs]
        self._has_params = bool(contract.signature["params"])
        self._in_rows, self._in_columns = in_rows(contract), in_columns(contract)
        self._cost = ReadingCost(contract)
        self.is_costly = self._cost.is_high

    def decode(self, body: bytes, bounds: Bounds | None = None) -> Decoded:
        """Validate a body of either form and split it into columns; see Codec."""
        if bounds is not None:
            check_size(body, len(self._names), bounds)
        reader = self._body
        request = decode(reader.decoder, body, explain=explain)
        form = form_of(request, body)
        if form is _ROWS:
            rows, columns = len(request.instances), reader.split(request.instances)
            wanted, places = BY_ROWS, self._in_rows
        else:
            columns = reader.gather(request.columns)
            rows = rows_in(self._names, columns)
            wanted, places = BY_COLUMNS, self._in_columns
        if reader.names_to_check:
            refuse_unknown(body, reader.names_to_check, form)
        params = request.params if self._has_params else None
        call = self._contract.call_of(rows, columns, params, places)
        if bounds is not None:
            bounds.check_rows(rows)
        return call, wanted

    def decode_chunked(self, body: bytes, bounds: Bounds) -> Generator[None, None, Decoded]:
        """Do as `decode` does with rows, some at a time; whatever that does not suit, in one go."""
        check_size(body, len(self._names), bounds)
        calls: list[Call] = []
        try:
            for chunk in in_chunks(body):
                calls.append(self.decode(chunk)[0])
                yield
        except (ValueError, ServiceError):
            # What is wrong, and where, is told by what reads all of it.
            calls = []
        if not calls:
            return self.decode(body, bounds)
        return merge_chunks(self._contract.inputs, calls), BY_ROWS

    def least_bytes(self, predictions: Predictions, wanted: Wanted) -> int:
        """Return how many bytes an answer has at least; see Codec."""
        size = values_in(predictions) * _NUMBER_BYTES
        if wanted.form is _ROWS:
            size += predictions.rows * sum(
                len(name) + _ROW_FRAME_BYTES for name in predictions.names
            )
        return size

    def encode(
        self,
        predictions: Predictions,
        start: int,
        stop: int,
        wanted: Wanted,
        names: VersionNames,
    ) -> bytes:
        """Return an object a row, or one with an array a column; see Codec."""
        write = encode_rows if wanted.form is _ROWS else encode_columns
        try:
            written = write(predictions, start, stop)
        except UNWRITABLE as error:
            raise unwritable(error, "JSON") from error
        return _answer(written, names)

    def encode_chunked(
        self,
        predictions: Predictions,
        start: int,
        stop: int,
        wanted: Wanted,
        names: VersionNames,
    ) -> Generator[None, None, bytes]:
        """Do as `encode` does, some rows at a time."""
        by_rows = wanted.form is _ROWS
        write = encode_rows_chunked if by_rows else encode_columns_chunked
        try:
            written = yield from write(predictions, start, stop)
        except UNWRITABLE as error:
            raise unwritable(error, "JSON") from error
        return _answer(written, names)


def _answer(written: bytes, names: VersionNames) -> bytes:
    return b'{"predictions":%b,%b' % (written, names.json_end)
