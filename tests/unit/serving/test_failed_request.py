"""A request that is asked again of another version."""

import pytest

from service.codecs.catalog import ARROW
from service.codecs.catalog import ROWS_AND_COLUMNS as JSON
from service.contracts.contract import Call, Contract
from service.core.errors import ContractViolationError, ModelFailedError
from service.serving.failed_request import FailedRequest
from service.serving.interface import BodyLimits, EncodedRequest, Interface
from service.workers.messages import RawRequest
from tests.support.envelopes import decoded
from tests.support.fake_models import CONTRACT
from tests.support.fake_source import a_version

ERROR = ModelFailedError("it raised")


def failed(body: bytes, codec: str = JSON, answer: str = JSON) -> FailedRequest:
    """Return a request with this body, at most 100 bytes of which are decoded on the loop."""
    request = EncodedRequest(body, codec, answer)
    return FailedRequest(request, ERROR, BodyLimits(raw_body_bytes=100, max_decoded_bytes=900))


def interface(number: int) -> Interface:
    """Return that of a version."""
    return Interface.of(CONTRACT, a_version(number))


def test_a_small_body_is_decoded_by_the_contract_of_the_version_that_is_asked() -> None:
    """Which may not take it."""
    payload = failed(b'{"instances": [{"a": 1}]}').payload_for(interface(1))
    assert isinstance(payload, Call)
    assert payload.rows == 1
    with pytest.raises(ContractViolationError):
        failed(b'{"instances": [{"b": 1}]}').payload_for(interface(1))


@pytest.mark.parametrize(
    ("body", "codec", "answer"),
    [(b" " * 101, JSON, JSON), (b"stream", ARROW, ARROW), (b"{}", JSON, ARROW)],
)
def test_what_a_worker_decodes_goes_there_with_the_name_of_the_version_that_is_asked(
    body: bytes, codec: str, answer: str
) -> None:
    """As it did the first time."""
    payload = failed(body, codec, answer).payload_for(interface(3))
    assert isinstance(payload, RawRequest)
    assert (payload.body, payload.codec, payload.answer) == (body, codec, answer)
    assert payload.max_decoded_bytes == 900
    assert payload.names.version == "3"


def test_bodies_are_told_apart_by_their_length_and_their_ends() -> None:
    """However large they are, that takes little time."""
    bodies = [b"a", b"b", b"a" * 100_000, b"a" * 100_001, b"a" * 99_999 + b"b"]
    assert len({failed(body).fingerprint() for body in bodies}) == len(bodies)
    assert failed(b"same").fingerprint() == failed(b"same").fingerprint()


def test_a_request_without_a_body_is_made_by_the_contract_of_the_version_that_is_asked() -> None:
    """And told apart by what was made of it."""
    calls = [decoded(CONTRACT, b'{"instances": [{"a": %d}]}' % number) for number in (1, 2, 1)]
    limits = BodyLimits(100, 900)
    asked: list[Contract] = []

    def typed(contract: Contract) -> Call:
        asked.append(contract)
        return calls[0]

    requests = [FailedRequest(typed, ERROR, limits, call) for call in calls]
    assert requests[0].payload_for(interface(2)) == calls[0]
    assert asked == [CONTRACT]
    first, second, third = (request.fingerprint() for request in requests)
    assert first == third != second
