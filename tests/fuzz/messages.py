"""Targets of the Open Inference Protocol over gRPC: its reader of messages here, and a service."""

from random import Random
from typing import Any

import grpc

from service.codecs.bounds import Bounds
from service.codecs.inference.message import read_head
from service.codecs.inference.message_codec import InferenceMessages
from service.codecs.inference.wire import field, varint_of
from service.core.errors import BodyTooLargeError, ContractViolationError, MalformedBodyError
from service.handlers.grpc.open_inference_pb2 import ModelInferRequest
from tests.fuzz.callers import KINDS, Caller, Service
from tests.fuzz.limited import limited
from tests.fuzz.nonsense import mutated
from tests.fuzz.tensors import DATATYPES, contracts
from tests.support.grpc_caller import SERVICE, GrpcCaller
from tests.support.inference_bodies import packed
from tests.support.inference_messages import FIELDS, Input, typed

_VALUES: dict[str, Any] = {"BOOL": True, "BYTES": "2024-01-01"}
_LIMIT_S = 30.0
_METHODS = ("ModelReady", "ModelMetadata", "ModelConfig", "ModelStatistics", "RepositoryIndex")
_CALLERS_FAULTS = {
    grpc.StatusCode.INVALID_ARGUMENT,
    grpc.StatusCode.NOT_FOUND,
    grpc.StatusCode.RESOURCE_EXHAUSTED,
    grpc.StatusCode.UNIMPLEMENTED,
    # An output of integers that lacks a row's.
    grpc.StatusCode.FAILED_PRECONDITION,
}
_MODELS = "the model"
"""Which errors of the model's own name."""


class MessageBodies:
    """The reader of messages: it raises what callers are told, and decodes whole calls."""

    name = "messages"

    def __init__(self) -> None:
        self._codecs = [InferenceMessages(contract) for contract in contracts()]

    def run(self, rng: Random) -> str:
        """Decode a mutated message by one of the contracts."""
        message = a_message(rng)
        if rng.random() < 0.5:
            message = mutated(rng, message)
        codec = rng.choice([self._codecs[0]] * 5 + self._codecs)
        with limited():
            try:
                read_head(message)
                call, _ = codec.decode(message, Bounds(len(message), 2**26))
            except (ContractViolationError, MalformedBodyError, BodyTooLargeError) as error:
                return error.code
            finally:
                codec.is_costly(message)
        assert call.rows > 0
        return "read"

    def settle(self) -> None:
        """Nothing shows later."""


class MessageCalls(Caller):
    """Calls over gRPC, whose messages are mutated or not."""

    name = "message-calls"

    def __init__(self, service: Service, address: str, model: str) -> None:
        super().__init__(service)
        self._model = model
        self._channel = GrpcCaller(address).channel

    def run(self, rng: Random) -> str:
        """Ask for predictions, or for something else."""
        message = field(1, self._model.encode()) + a_message(rng)
        if rng.random() < 0.5:
            message = mutated(rng, message)
        method = rng.choice(_METHODS) if rng.random() < 0.2 else "ModelInfer"
        compression = rng.choice([None, None, grpc.Compression.Gzip])
        call = self._channel.unary_unary(f"/{SERVICE}/{method}")
        try:
            call(message, timeout=_LIMIT_S, compression=compression)
            outcome = "OK"
        except grpc.RpcError as raised:
            error: Any = raised
            told = f"{error.code()}: {error.details()}"
            is_fair = error.code() in _CALLERS_FAULTS or _MODELS in error.details()
            assert is_fair, told
            assert "Traceback" not in told, told
            outcome = error.code().name
        self._service.check()
        return outcome


def a_message(rng: Random) -> bytes:
    """Return a request's message without a model's name; some are right."""
    rows = rng.choice([1, 1, 2, 3, 40])
    request = ModelInferRequest()
    is_raw = rng.random() < 0.5
    for kind in rng.sample(KINDS, rng.randint(0, len(KINDS))):
        datatype = DATATYPES[kind] if rng.random() < 0.9 else rng.choice(["FP16", "BF16", "INT8"])
        values = [_VALUES.get(datatype, 1)] * rows
        shape = [rows] if rng.random() < 0.95 else rng.choices([-1, 0, 1, rows, 2**62], k=2)
        if is_raw or datatype not in FIELDS:
            request.inputs.append(Input(name=kind, datatype=datatype, shape=shape))
            if is_raw:
                request.raw_input_contents.append(packed(datatype, values))
        else:
            request.inputs.append(typed(kind, datatype, shape, values))
    if rng.random() < 0.2:
        request.parameters[rng.choice(["timeout", "content_type"])].string_param = "pd"
    if rng.random() < 0.1:
        request.outputs.add(name=rng.choice(["y", "z"]))
    written: bytes = request.SerializeToString()
    match rng.randrange(30):
        case 0:  # nothing, many times
            written += b"\x2a\x00" * 20_000
        case 1:  # elements that are not packed
            inner = b"".join(b"\x18" + varint_of(row) for row in range(2_000))
            written += field(5, field(1, b"long") + field(5, inner))
        case 2:  # a length beyond the end
            written += b"\x3a" + varint_of(rng.getrandbits(63))
    return written
