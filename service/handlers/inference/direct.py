"""Usual requests of the Open Inference Protocol: bodies that nobody has compressed."""

from collections.abc import Sequence

from service.codecs.catalog import INFERENCE
from service.codecs.inference.frame import ANSWER_BYTES, before_request, json_bytes_of
from service.codecs.inference.timeout import timeout_s_in
from service.core.errors import MalformedBodyError, OverloadedError
from service.core.protocols import WireProtocol
from service.core.text import presentable
from service.deployment import Deployment
from service.handlers.answer import Answer, RawHeaders
from service.handlers.compression import wanted_coding
from service.handlers.direct import MOST_DIGITS, Head
from service.handlers.inference.addressed import paths, served
from service.handlers.inference.faults import answer_of
from service.serving.dataplane import EncodedAnswer
from service.serving.interface import EncodedRequest

JSON_BYTES = "Inference-Header-Content-Length"
"""The header that says how much of a body is JSON; binary tensors follow."""
_JSON_BYTES, _ACCEPTED = JSON_BYTES.lower().encode(), b"accept-encoding"
_IS_JSON = (b"content-type", b"application/json")
_IS_BINARY = (b"content-type", b"application/octet-stream")
_SHOWN = 40


class DirectInference:
    """Tensors in, tensors out, in JSON and behind it; see DirectProtocol."""

    wire = WireProtocol.OIP
    paths = tuple(paths("/infer"))
    headers = (_JSON_BYTES, _ACCEPTED)

    def is_usual(self, head: Head) -> bool:
        """Any content type is taken: clients of Triton send none."""
        del head
        return True

    def request(
        self, head: Head, chunks: Sequence[bytes], deployment: Deployment
    ) -> tuple[EncodedRequest, float | None]:
        """Return the body behind its frame, and its parameter `timeout`.

        Raise NoVersionError, MalformedBodyError and ContractViolationError.
        """
        json_bytes = _json_bytes(head)
        if json_bytes is None:
            json_bytes = sum(map(len, chunks))
        before = before_request(json_bytes, deployment.name)
        body = b"".join((before, *chunks))
        start, contract = len(before), served(deployment, None).contract
        timeout_s = timeout_s_in(body, start, start + json_bytes, contract)
        return EncodedRequest(body, INFERENCE, INFERENCE), timeout_s

    def answer(self, head: Head, answered: EncodedAnswer) -> Answer:
        """Return the answer without its frame, in the coding that is accepted."""
        json_bytes = json_bytes_of(answered.body)
        headers: RawHeaders = [_IS_BINARY if json_bytes else _IS_JSON, *answered.names.raw_headers]
        if json_bytes:
            headers.append((_JSON_BYTES, b"%d" % json_bytes))
        body = memoryview(answered.body)[ANSWER_BYTES:]
        coding = wanted_coding(head.get(_ACCEPTED, b"").decode("latin-1"), len(body))
        return Answer(200, headers, body, coding)

    def refusal(self, error: OverloadedError) -> Answer:
        """Return the protocol's form of an error."""
        return answer_of(error)


def _json_bytes(head: Head) -> int | None:
    """Return how much of the body is JSON, None where all of it is. Raise MalformedBodyError."""
    given = head.get(_JSON_BYTES)
    if given is None:
        return None
    if not (given.isdigit() and len(given) <= MOST_DIGITS):
        shown = presentable(given.decode("latin-1"), _SHOWN)
        raise MalformedBodyError(f"{JSON_BYTES} is {shown!r}, and no number of bytes")
    return int(given)
