"""The codec of MLflow's scoring protocol in JSON, for what is certain to be as MLflow has it.

Everything else it leaves to MLflow's own code in a worker, by NotPlainError.
"""

from service.codecs.bounds import Bounds
from service.codecs.codec import (
    UNWRITABLE,
    AnswerForm,
    Decoded,
    InOneGo,
    NotPlainError,
    Wanted,
    unwritable,
)
from service.codecs.json.encoding import encode_rows, values_of, write
from service.codecs.json.reading_cost import ReadingCost
from service.codecs.places import in_rows
from service.codecs.scoring.body import PlainBodies
from service.contracts.answer_size import values_in
from service.contracts.contract import Contract, Predictions
from service.core.errors import ContractViolationError
from service.core.text import presentable
from service.core.version_names import VersionNames

_ID_CHARACTERS = 256
_NUMBER_BYTES = 2


class PlainScoring(InOneGo):
    """Reads and writes plain bodies for one contract and form of answer; see Codec."""

    def __init__(self, contract: Contract, form: AnswerForm) -> None:
        self._contract = contract
        self._form = form
        self._bodies = PlainBodies(contract)
        self._places = in_rows(contract)
        self.is_costly = ReadingCost(contract).is_high

    def decode(self, body: bytes, bounds: Bounds | None = None) -> Decoded:
        """Split a plain body into columns; see Codec. Raise NotPlainError for any other."""
        if bounds is not None:
            raise NotPlainError
        rows, columns, called = self._bodies.read(body)
        try:
            call = self._contract.call_of(rows, columns, None, self._places)
        except ContractViolationError:
            # A rule of a team's own, which MLflow does not know.
            raise NotPlainError from None
        return call, Wanted(client_request_id=presentable(called, _ID_CHARACTERS))

    def least_bytes(self, predictions: Predictions, wanted: Wanted) -> int:
        """Return how many bytes an answer has at least; see Codec."""
        del wanted
        return values_in(predictions) * _NUMBER_BYTES

    def encode(
        self,
        predictions: Predictions,
        start: int,
        stop: int,
        wanted: Wanted,
        names: VersionNames,
    ) -> bytes:
        """Return `{"predictions": ...}`; headers alone name the version. See Codec."""
        del wanted, names
        try:
            return b'{"predictions":%b}' % written(predictions, start, stop, self._form)
        except UNWRITABLE as error:
            raise unwritable(error, "JSON") from error


def written(predictions: Predictions, start: int, stop: int, form: AnswerForm) -> bytes:
    """Return rows [start, stop) as MLflow writes them."""
    if form is AnswerForm.RECORDS:
        return encode_rows(predictions, start, stop)
    columns = [
        values_of(column, dtype, shape, start, stop)
        for column, dtype, shape in zip(
            predictions.columns, predictions.dtypes, predictions.shapes, strict=True
        )
    ]
    return write(columns[0] if len(columns) == 1 else list(zip(*columns, strict=True)))
