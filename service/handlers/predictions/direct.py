"""Usual requests of `/predict`: JSON, which nobody wants answered in another form."""

from collections.abc import Sequence

from service.core.errors import OverloadedError
from service.core.protocols import WireProtocol
from service.deployment import Deployment
from service.handlers import problems
from service.handlers.answer import Answer
from service.handlers.direct import Head
from service.serving.dataplane import EncodedAnswer
from service.serving.interface import EncodedRequest

PATH = "/predict"
PATHS = (PATH, "/models/{name:str}/predict")
_KIND, _ACCEPT = b"content-type", b"accept"
_JSON = b"application/json"
_ANY = (b"*/*", _JSON)
_IS_JSON = (_KIND, _JSON)


class DirectPredictions:
    """Rows or columns in, predictions out; see DirectProtocol."""

    wire = WireProtocol.NATIVE
    paths = PATHS
    headers = (_KIND, _ACCEPT)

    def is_usual(self, head: Head) -> bool:
        """Tell whether it is JSON, and JSON is taken."""
        return head.get(_KIND) == _JSON and head.get(_ACCEPT, _JSON) in _ANY

    def request(
        self, head: Head, chunks: Sequence[bytes], deployment: Deployment
    ) -> tuple[EncodedRequest, None]:
        """Return the body as it is."""
        del head, deployment
        return EncodedRequest(b"".join(chunks)), None

    def answer(self, head: Head, answered: EncodedAnswer) -> Answer:
        """Return the answer as it is."""
        del head
        return Answer(200, [_IS_JSON, *answered.names.raw_headers], answered.body)

    def refusal(self, error: OverloadedError) -> Answer:
        """Return the problem."""
        return problems.answer_of(error)
