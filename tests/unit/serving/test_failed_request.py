"""A request that is asked again of another version."""

import pytest

from service.codecs.media import Media
from service.contracts.contract import Call
from service.core.errors import ContractViolationError, ModelFailedError
from service.serving.failed_request import FailedRequest
from service.workers.messages import RawRequest
from tests.support.fake_models import CONTRACT
from tests.support.fake_source import a_version

ERROR = ModelFailedError("it raised")


def failed(body: bytes, kind: Media = Media.JSON, answer: Media = Media.JSON) -> FailedRequest:
    """Return a request with this body, at most 100 bytes of which are decoded on the loop."""
    return FailedRequest(body, kind, answer, ERROR, raw_body_bytes=100, max_decoded_bytes=900)


def test_a_small_body_is_decoded_by_the_contract_of_the_version_that_is_asked() -> None:
    """Which may not take it."""
    payload = failed(b'{"instances": [{"a": 1}]}').payload_for(a_version(1), CONTRACT)
    assert isinstance(payload, Call)
    assert payload.rows == 1
    with pytest.raises(ContractViolationError):
        failed(b'{"instances": [{"b": 1}]}').payload_for(a_version(1), CONTRACT)


@pytest.mark.parametrize(
    ("body", "kind", "answer"),
    [
        (b" " * 101, Media.JSON, Media.JSON),
        (b"stream", Media.ARROW, Media.ARROW),
        (b"{}", Media.JSON, Media.ARROW),
    ],
)
def test_what_a_worker_decodes_goes_there_with_the_name_of_the_version_that_is_asked(
    body: bytes, kind: Media, answer: Media
) -> None:
    """As it did the first time."""
    payload = failed(body, kind, answer).payload_for(a_version(3), CONTRACT)
    assert isinstance(payload, RawRequest)
    assert (payload.body, payload.kind, payload.answer) == (body, kind, answer)
    assert payload.max_decoded_bytes == 900
    assert payload.metadata["hotswap.model_version"] == "3"


def test_bodies_are_told_apart_by_their_length_and_their_ends() -> None:
    """However large they are, that takes little time."""
    bodies = [b"a", b"b", b"a" * 100_000, b"a" * 100_001, b"a" * 99_999 + b"b"]
    assert len({failed(body).fingerprint() for body in bodies}) == len(bodies)
    assert failed(b"same").fingerprint() == failed(b"same").fingerprint()
