"""The codec of the Open Inference Protocol over gRPC: `ModelInferRequest`, `ModelInferResponse`.

A message is read and written as it is sent, without objects for its parts: the bytes of a tensor
are not copied on their way to the contract, and a worker needs no library for it. Its answer has
the bytes of all outputs in `raw_output_contents`, since clients look nowhere else.
"""

from collections.abc import Generator

import msgspec

from service.codecs.bounds import Bounds
from service.codecs.codec import Decoded
from service.codecs.inference.answer import WrittenOutput
from service.codecs.inference.message import has_many_fields, read_message
from service.codecs.inference.message_answer import whole_message
from service.codecs.inference.request import Asked, asked_of
from service.codecs.inference.tensors import OBJECT_VALUES, TEXT_BYTES, Tensors
from service.contracts.answer_size import LOOP_VALUES
from service.core.version_names import VersionNames

_FEW_BYTES = 1_024
"""A message of no more has no room for what would take long."""


class InferenceMessages(Tensors):
    """Messages of gRPC; see Codec for what its members promise."""

    def is_costly(self, body: bytes) -> bool:
        """Tell whether a message, or its answer, may have more than LOOP_VALUES.

        By its bytes, and by its fields: two for each tensor whose bytes are raw.
        """
        if self._has_many_outputs:
            return True
        if len(body) <= _FEW_BYTES:
            return False
        if len(body) // TEXT_BYTES > self._loop_values:
            return True
        return has_many_fields(body, 2 * LOOP_VALUES // OBJECT_VALUES)

    def decode_chunked(self, body: bytes, bounds: Bounds) -> Generator[None, None, Decoded]:
        """Do as `decode` does, a tensor at a time."""
        model, request, tensors = read_message(body)
        asked = asked_of(request, model)
        # Whatever it says: the protocol has raw contents for all outputs, or for none.
        outputs = asked.outputs and tuple((name, True) for name, _ in asked.outputs)
        asked = msgspec.structs.replace(asked, outputs=outputs, binary=True)
        self.check_asked(asked)
        return (yield from self.called(request, tensors, asked, bounds))

    def whole(
        self, outputs: list[WrittenOutput], rows: int, asked: Asked, names: VersionNames
    ) -> bytes:
        """Return a message with the outputs' bytes behind their descriptions."""
        return whole_message(outputs, rows, asked, names)
