"""Usual requests of MLflow's scoring protocol: of a kind that is named in the usual words."""

from collections.abc import Sequence
from urllib.parse import quote

from service.codecs.catalog import SCORING
from service.core.errors import OverloadedError
from service.core.protocols import WireProtocol
from service.deployment import Deployment
from service.handlers.answer import Answer
from service.handlers.direct import Head
from service.handlers.scoring.faults import answer_of
from service.serving.dataplane import EncodedAnswer
from service.serving.interface import EncodedRequest

PATHS = (
    "/invocations",
    "/models/{name:str}/invocations",
    "/endpoints/{name:str}/invocations",
    "/serving-endpoints/{name:str}/invocations",
)
"""MLflow's own and ours; then that of AWS' client and MLflow's gateway, and that of Databricks'."""
CLIENT_REQUEST_ID = "x-client-request-id"
_KIND = b"content-type"
_CODECS = {kind.encode(): codec for codec, kind in SCORING.items()}
_IS_JSON = (_KIND, b"application/json")


class DirectScoring:
    """Bodies that MLflow's scoring server takes; see DirectProtocol."""

    wire = WireProtocol.MLFLOW
    paths = PATHS
    headers = (_KIND,)

    def is_usual(self, head: Head) -> bool:
        """Tell whether it is of a kind that MLflow names so."""
        return head.get(_KIND) in _CODECS

    def request(
        self, head: Head, chunks: Sequence[bytes], deployment: Deployment
    ) -> tuple[EncodedRequest, None]:
        """Return the body as it is, to be read as its kind says."""
        del deployment
        codec = _CODECS[head[_KIND]]
        return EncodedRequest(b"".join(chunks), codec, codec), None

    def answer(self, head: Head, answered: EncodedAnswer) -> Answer:
        """Return the answer, and what the body called the request."""
        del head
        headers = [_IS_JSON, *answered.names.raw_headers]
        if answered.client_request_id:
            called = quote(answered.client_request_id).encode()
            headers.append((CLIENT_REQUEST_ID.encode(), called))
        return Answer(200, headers, answered.body)

    def refusal(self, error: OverloadedError) -> Answer:
        """Return MLflow's form of an error."""
        return answer_of(error)
