"""Targets of the Open Inference Protocol: its decoder in this process, and a service over HTTP."""

import gzip
import json
import zlib
from random import Random
from typing import Any

import numpy as np

from service.codecs.bounds import Bounds
from service.codecs.inference.codec import InferenceTensors
from service.codecs.inference.frame import before_request
from service.contracts.choose import contract_for
from service.contracts.contract import Contract
from service.core.errors import BodyTooLargeError, ContractViolationError, MalformedBodyError
from tests.fuzz.callers import KINDS, Caller, post
from tests.fuzz.limited import limited
from tests.fuzz.nonsense import mutated, pieces, value
from tests.support.inference_bodies import packed

LENGTH = "inference-header-content-length"
DATATYPES = {
    "boolean": "BOOL",
    "integer": "INT32",
    "long": "INT64",
    "float": "FP32",
    "double": "FP64",
    "string": "BYTES",
    "binary": "BYTES",
    "datetime": "BYTES",
}
_VALUES: dict[str, Any] = {"BOOL": True, "BYTES": "2024-01-01"}
_SIGNATURES = (
    [{"type": kind, "name": kind, "required": False} for kind in KINDS],
    [{"type": "double"}, {"type": "long"}],
    [{"type": "tensor", "tensor-spec": {"dtype": "float32", "shape": [-1, 2]}}],
    [{"type": "array", "name": "double", "items": {"type": "any"}}],
)


def contracts() -> list[Contract]:
    """Return contracts of each layout; the first one has all types."""
    return [
        contract_for("m", {"inputs": inputs, "outputs": None, "params": None}, refuse_unknown=False)
        for inputs in _SIGNATURES
    ]


class TensorBodies:
    """The protocol's decoder: it raises what callers are told, and decodes whole calls."""

    name = "tensors"

    def __init__(self) -> None:
        self._codecs = [InferenceTensors(contract) for contract in contracts()]

    def run(self, rng: Random) -> str:
        """Decode a mutated body by one of the contracts."""
        written, binary = document(rng)
        match rng.randrange(4):
            case 0:
                written = mutated(rng, written, most=1)
            case 1:
                binary = mutated(rng, binary)
        body = before_request(len(written), "m") + written + binary
        if rng.random() < 0.1:
            body = mutated(rng, body)
        codec = rng.choice([self._codecs[0]] * 5 + self._codecs)
        with limited():
            try:
                call, _ = codec.decode(body, Bounds(len(body), 2**26))
            except (ContractViolationError, MalformedBodyError, BodyTooLargeError) as error:
                return error.code
            codec.is_costly(body)
        assert call.rows > 0
        return "read"

    def settle(self) -> None:
        """Nothing shows later."""


class TensorCalls(Caller):
    """Requests for predictions by tensors, compressed or not, mutated or not."""

    name = "tensor-calls"

    def __init__(self, service: Any, model: str) -> None:
        super().__init__(service)
        self._path = f"/v2/models/{model}/infer"

    def run(self, rng: Random) -> str:
        """Ask for predictions."""
        written, binary = document(rng)
        body = written + binary
        headers = [(LENGTH, str(len(written) + rng.choice([0, 0, 0, 1])))] if binary else []
        if rng.random() < 0.5:
            body = mutated(rng, body)
        squeeze: dict[str, Any] = {"gzip": gzip.compress, "deflate": zlib.compress}
        if rng.random() < 0.3:
            coding = rng.choice([*squeeze, "br"])
            body = squeeze.get(coding, bytes)(body)
            if rng.random() < 0.3:
                body = mutated(rng, body)
            headers.append(("content-encoding", coding))
        if rng.random() < 0.3:
            headers.append(("accept-encoding", rng.choice([*squeeze, "gzip;q=nan", "*"])))
        return self._sent(pieces(rng, post(self._path, body, headers)))


def document(rng: Random) -> tuple[bytes, bytes]:
    """Return a request's JSON and what follows it; some are right."""
    rows = rng.choice([1, 1, 2, 3, 40])
    inputs: list[Any] = []
    binary = b""
    for kind in rng.sample(KINDS, rng.randint(0, len(KINDS))):
        datatype = DATATYPES[kind] if rng.random() < 0.9 else rng.choice(["FP16", "BF16", "INT8"])
        values = [_VALUES.get(datatype, 1)] * rows
        sent: dict[str, Any] = {"name": kind, "datatype": datatype, "shape": [rows]}
        if rng.random() < 0.3:
            data = packed(datatype, np.array(values).tolist())
            sent["parameters"] = {"binary_data_size": len(data)}
            binary += data
        else:
            sent["data"] = values if rng.random() < 0.9 else [[one] for one in values]
        if rng.random() < 0.05:
            sent[rng.choice([*sent])] = value(rng)
        inputs.append(sent)
    whole: dict[str, Any] = {"inputs": inputs}
    if rng.random() < 0.3:
        whole["parameters"] = {"binary_data_output": rng.random() < 0.5, "content_type": "pd"}
    if rng.random() < 0.1:
        whole[rng.choice(["id", "outputs", "parameters", "inputs"])] = value(rng)
    return json.dumps(whole).encode("utf-8", "surrogatepass"), binary
