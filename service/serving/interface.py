"""What callers and one version speak with each other: its contract by the codecs, and its names."""

import sys
from collections.abc import Callable, Mapping

import msgspec

from service.codecs.catalog import (
    ROWS_AND_COLUMNS,
    SCORING,
    SCORING_JSON,
    open_codecs,
    open_scoring,
)
from service.codecs.codec import AnswerForm, Codec, NotPlainError, Wanted
from service.contracts.contract import Call, Contract
from service.core.errors import AnswerTooLargeError
from service.core.version_names import VersionNames
from service.core.versions import ModelVersion
from service.workers.messages import RawRequest

_ANY = Wanted()


class EncodedRequest(msgspec.Struct, frozen=True):
    """A body as it came, and the codecs that it is read and answered by, by their names."""

    body: bytes
    codec: str = ROWS_AND_COLUMNS
    answer: str = ROWS_AND_COLUMNS
    most_answer_bytes: int = sys.maxsize
    """A larger answer can't be given by the protocol that it came by."""

    def check_answer(self, answer_bytes: int) -> None:
        """Raise AnswerTooLargeError for an answer that can't be given."""
        if answer_bytes > self.most_answer_bytes:
            raise AnswerTooLargeError(
                f"the answer has {answer_bytes} bytes, and {self.most_answer_bytes} are given by "
                "this protocol: send fewer rows at a time, or ask by another one"
            )


TypedRequest = Callable[[Contract], Call]
"""A request without a body. A call belongs to the contract that made it: so it is made by that of
the version which answers, once that is known. Raises what a codec's `decode` raises.
"""

Request = EncodedRequest | TypedRequest


class BodyLimits(msgspec.Struct, frozen=True):
    """From which size on a body goes to a worker as it is, and what it may become there."""

    raw_body_bytes: int
    max_decoded_bytes: int


class Interface(msgspec.Struct, frozen=True):
    """One version's contract, its codecs by name, and what its answers call it."""

    contract: Contract
    codecs: Mapping[str, Codec]
    """Those that decode and encode in the server process; the others are in workers alone."""
    names: VersionNames

    @classmethod
    def of(cls, contract: Contract, version: ModelVersion, label: str = "") -> "Interface":
        """Return the interface of a version that this pointer leads to.

        Raise SignatureError for a contract whose types can't be read.
        """
        return cls(contract, open_codecs(contract), VersionNames.of(version, label))

    def scored_as(self, form: AnswerForm) -> "Interface":
        """Return the same with calls for plain bodies of MLflow's protocol, answered so."""
        codecs = {**self.codecs, **open_scoring(self.contract, form)}
        return msgspec.structs.replace(self, codecs=codecs)

    def payload(
        self, request: EncodedRequest, limits: BodyLimits
    ) -> tuple[Call | RawRequest, Wanted]:
        """Return what a worker is asked for a body, and how that is to be answered.

        What would hold up the event loop goes there as it is. Raise what `Codec.decode` raises.
        """
        body = request.body
        codec = self.codecs.get(request.codec)
        if (
            codec is None
            or request.answer not in self.codecs
            or len(body) > limits.raw_body_bytes
            or codec.is_costly(body)
        ):
            return self.raw(request, limits), _ANY
        try:
            return codec.decode(body)
        except NotPlainError:
            return self.raw(request, limits), _ANY

    def raw(self, request: EncodedRequest, limits: BodyLimits) -> RawRequest:
        """Return what a worker is asked for a body that it is to read itself."""
        return RawRequest(
            *(request.codec, request.answer, limits.max_decoded_bytes, self.names),
            wants_form=request.codec in SCORING and SCORING_JSON not in self.codecs,
            body=request.body,
        )
