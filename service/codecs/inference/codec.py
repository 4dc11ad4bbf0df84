"""The codec of the Open Inference Protocol, version 2: a tensor for each input and each output.

    {"id": "7", "inputs": [{"name": "a", "shape": [2], "datatype": "FP64", "data": [1, 2]}]}

is answered by `{"model_name": ..., "model_version": ..., "id": "7", "outputs": [...]}`. Tensors may
be binary, behind the JSON; `frame` says how much of a body is JSON. See `inputs` for how tensors
become a contract's inputs, and `casts` for what becomes of other datatypes than the contract has.
"""

from collections.abc import Generator

from service.codecs.bounds import Bounds
from service.codecs.codec import Decoded
from service.codecs.inference.answer import WrittenOutput, whole_answer
from service.codecs.inference.frame import read_frame
from service.codecs.inference.request import Asked, asked_of, read_request, tensors_of
from service.codecs.inference.tensors import OBJECT_VALUES, TEXT_BYTES, Tensors
from service.contracts.answer_size import LOOP_VALUES
from service.core.errors import BodyTooLargeError, MalformedBodyError
from service.core.version_names import VersionNames


class InferenceTensors(Tensors):
    """Bodies of REST: JSON, and binary behind it; see Codec for what its members promise."""

    def is_costly(self, body: bytes) -> bool:
        """Tell whether a body, or its answer, may have more than LOOP_VALUES.

        By the body's commas, its tensors (each has a `{`), and the bytes behind its JSON.
        """
        if self._has_many_outputs:
            return True
        if len(body) <= self._loop_values:
            return False
        try:
            frame = read_frame(body)
        except MalformedBodyError:
            return False
        values = (len(body) - frame.stop) // TEXT_BYTES
        values += body.count(b",", frame.start, frame.stop)
        objects = body.count(b"{", frame.start, frame.stop)
        return values > self._loop_values or objects * OBJECT_VALUES > LOOP_VALUES

    def decode_chunked(self, body: bytes, bounds: Bounds) -> Generator[None, None, Decoded]:
        """Do as `decode` does, a tensor at a time."""
        frame = read_frame(body)
        arrays = body.count(b"[", frame.start, frame.stop)
        if arrays > bounds.rows:
            raise BodyTooLargeError(
                f"the body has {arrays} arrays, and {bounds.rows} are taken: send the tensors' "
                "data flat, in row-major order"
            )
        view = memoryview(body)
        request = read_request(view[frame.start : frame.stop])
        asked = asked_of(request, frame.model)
        self.check_asked(asked)
        tensors = tensors_of(request, view[frame.stop :])
        return (yield from self.called(request, tensors, asked, bounds))

    def whole(
        self, outputs: list[WrittenOutput], rows: int, asked: Asked, names: VersionNames
    ) -> bytes:
        """Return JSON, and binary tensors behind it."""
        return whole_answer(outputs, rows, asked, names)
