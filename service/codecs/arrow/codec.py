"""The codec of Arrow IPC streams: one column an input, one batch with a column an output."""

from service.codecs.arrow.answer import encode_stream
from service.codecs.arrow.request import ArrowRequests
from service.codecs.bounds import Bounds
from service.codecs.codec import Decoded, Form, InOneGo, Wanted
from service.contracts.answer_size import values_in
from service.contracts.contract import Contract, Predictions
from service.contracts.merge import cut
from service.core.version_names import VersionNames

_BY_COLUMNS = Wanted(Form.COLUMNS)
_NUMBER_BYTES = 4
"""What a number takes at least, as a rule."""


class ArrowStreams(InOneGo):
    """Reads and writes streams for one contract; see Codec for what its members promise.

    In one go: most of a stream is left where it lies in the body.
    """

    def __init__(self, contract: Contract) -> None:
        self._contract = contract
        self._requests = ArrowRequests(contract)

    def is_costly(self, body: bytes) -> bool:
        """Tell whether decoding a body would hold up an event loop: any, for want of pyarrow."""
        del body
        return True

    def decode(self, body: bytes, bounds: Bounds | None = None) -> Decoded:
        """Validate a stream and take its columns; see Codec."""
        bounds = bounds or Bounds.of_size_alone(body)
        return self._requests.decode(body, bounds.decoded_bytes, bounds.rows), _BY_COLUMNS

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
        """Return a stream of one batch, the version's names in its schema; see Codec."""
        del wanted
        return encode_stream(self._contract, cut(predictions, start, stop), names.metadata)
