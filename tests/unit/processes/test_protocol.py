import msgspec
import pytest

from service.core.errors import (
    BodyTooLargeError,
    ChildRaisedError,
    ContractViolationError,
    FetchFailedError,
    MalformedBodyError,
    ModelFailedError,
    NotAcceptableError,
    ServiceError,
    SignatureError,
    SourceUnavailableError,
    StoreCorruptError,
)
from service.core.text import DETAIL_CHARACTERS, SENTENCE_CHARACTERS
from service.processes.protocol import (
    CountedReply,
    Fault,
    Nothing,
    Reply,
    Request,
    UnreadableError,
    encode_request,
    read_reply,
    read_result,
    to_error,
    to_fault,
)
from service.registry.messages import REGISTRY_ERRORS
from service.workers.errors import WORKER_ERRORS
from service.workers.messages import RawRequest

ERRORS = {**WORKER_ERRORS, **REGISTRY_ERRORS}


class SilentError(Exception):
    def __str__(self) -> str:
        """Raise."""
        raise RuntimeError


def travelled(error: BaseException) -> ServiceError:
    """Return an error as the server process sees what a child raised."""
    with pytest.raises(BaseException) as raised:
        _raise(error)
    frame = msgspec.msgpack.encode(to_fault(raised.value))
    return to_error(msgspec.msgpack.decode(frame, type=Fault), ERRORS)


def _raise(error: BaseException) -> None:
    raise error


@pytest.mark.parametrize(
    "kind",
    [
        MalformedBodyError,
        BodyTooLargeError,
        NotAcceptableError,
        SourceUnavailableError,
        FetchFailedError,
        StoreCorruptError,
        SignatureError,
    ],
)
def test_our_own_errors_keep_their_class_and_sentence(kind: type[ServiceError]) -> None:
    """A caller treats them as if they were raised here."""
    error = travelled(kind("what is wrong"))
    assert type(error) is kind
    assert str(error) == "what is wrong"


def test_a_contract_violation_keeps_its_parts() -> None:
    """Path and row reach the HTTP edge."""
    error = travelled(ContractViolationError("instances[3].a", 3, "a number", "a string"))
    assert isinstance(error, ContractViolationError)
    assert error.extras() == {
        "path": "instances[3].a",
        "row": 3,
        "expected": "a number",
        "got": "a string",
    }


def test_a_models_failure_keeps_its_traceback_for_the_log() -> None:
    """The sentence is for the caller, the rest is not."""
    error = travelled(ModelFailedError("the model raised ValueError: no", "where"))
    assert isinstance(error, ModelFailedError)
    assert str(error) == "the model raised ValueError: no"
    assert "Traceback" in error.detail


@pytest.mark.parametrize(
    ("raised", "sentence"),
    [
        (KeyError("a"), "KeyError: 'a'"),
        (SystemExit(3), "SystemExit: 3"),
        (SilentError(), "SilentError"),
        (ValueError("no UTF-8: \udcff"), r"ValueError: no UTF-8: \udcff"),
        (ServiceError("some other of ours"), "some other of ours"),
    ],
)
def test_anything_else_is_told_in_words(raised: BaseException, sentence: str) -> None:
    """Whatever a class does when it is asked for its message."""
    error = travelled(raised)
    assert type(error) is ChildRaisedError
    assert str(error) == sentence
    assert type(raised).__name__ in error.detail


def test_a_child_raises_only_what_its_kind_may() -> None:
    """A code that was not agreed on is an error without a class here."""
    told = to_error(Fault("model-failed", "it raised", "where"), REGISTRY_ERRORS)
    assert type(told) is ChildRaisedError
    assert told.detail == "where"


@pytest.mark.parametrize(
    "extras", [{}, {"path": 1, "row": 0, "expected": "a", "got": "b"}, {"path": None}]
)
def test_an_error_without_what_belongs_to_it_is_unreadable(
    extras: dict[str, str | int | None],
) -> None:
    """A contract violation has a place, whatever a child sends."""
    fault = msgspec.msgpack.encode(Fault("contract-violation", "wrong", "", extras))
    with pytest.raises(UnreadableError):
        read_result(Reply(1, ok=False, body=msgspec.Raw(fault)), Nothing, WORKER_ERRORS)


def test_a_long_traceback_is_cut_between_its_ends() -> None:
    """What was called stands at the beginning, what raised at the end."""
    error = travelled(ValueError("x" * 2 * DETAIL_CHARACTERS + "the end"))
    assert isinstance(error, ChildRaisedError)
    assert len(error.detail) == DETAIL_CHARACTERS
    assert error.detail.startswith("Traceback")
    assert error.detail.rstrip().endswith("the end")
    assert len(str(error)) <= SENTENCE_CHARACTERS


def test_what_a_child_tells_holds_no_credentials_and_nothing_that_a_terminal_obeys() -> None:
    """Not in what it sends, and not in what is made of a child's that sends it all the same."""
    raised = ValueError("at http://u:s3cret@h \x1b[31m\n")
    told = travelled(raised)
    sent = Fault("model-failed", f"{raised}" * 1000, f"{raised}" * 100_000)
    for error in (told, to_error(sent, ERRORS)):
        assert isinstance(error, ChildRaisedError | ModelFailedError)
        for text in (str(error), error.detail):
            assert "s3cret" not in text
            assert "\x1b" not in text
        assert len(str(error)) <= SENTENCE_CHARACTERS
        assert len(error.detail) <= DETAIL_CHARACTERS


@pytest.mark.parametrize("size", [1, 255, 70_000])
def test_a_tail_is_the_last_field_of_what_is_asked(size: int) -> None:
    """It is sent from where it is, and read as if it had been encoded with the rest."""
    body = bytes(size)
    *head, tail = encode_request(7, "predict_raw", RawRequest(max_decoded_bytes=9), body)
    assert tail is body
    request = msgspec.msgpack.decode(b"".join([*head, tail]), type=Request)
    assert (request.id, request.op) == (7, "predict_raw")
    asked = msgspec.msgpack.decode(request.body, type=RawRequest)
    assert asked == RawRequest(max_decoded_bytes=9, body=body)


def test_without_a_tail_it_is_one_piece() -> None:
    """As a call is, whose columns are small."""
    (piece,) = encode_request(1, "ping", Nothing())
    assert msgspec.msgpack.decode(piece, type=Request).op == "ping"


def test_a_tail_needs_a_place() -> None:
    """Bytes behind what does not end with an empty field would be no request."""
    with pytest.raises(TypeError, match="last field of Nothing"):
        encode_request(1, "ping", Nothing(), b"tail")


def test_counts_go_with_a_reply_that_has_any() -> None:
    """A reply without them is no byte longer than one that could have none."""
    body = msgspec.Raw(msgspec.msgpack.encode("y"))
    plain = msgspec.msgpack.encode(Reply(7, True, body))  # noqa: FBT003
    assert msgspec.msgpack.decode(plain, type=list[msgspec.Raw])[2:] == [body]
    assert read_reply(plain).counts is None
    counted = msgspec.msgpack.encode(CountedReply(7, True, body, {"faults": {"trees": 2}}))  # noqa: FBT003
    assert read_reply(counted).counts == {"faults": {"trees": 2}}


@pytest.mark.parametrize(
    "counts",
    [
        *({"faults": {"trees": wrong}} for wrong in (0, -1, "x", 2**60)),
        {"faults": {"x" * 1_000: 1}},
        {"x" * 1_000: {"trees": 1}},
        {"trees": 1},
        ["trees"],
    ],
)
def test_counts_that_are_none_are_refused(counts: object) -> None:
    """As is whatever else a child's bytes are not to be."""
    body = msgspec.Raw(msgspec.msgpack.encode("y"))
    with pytest.raises(UnreadableError):
        read_reply(msgspec.msgpack.encode([7, True, body, counts]))
    many = {str(number): 1 for number in range(1_000)}
    for too_many in ({"faults": many}, {kind: {"trees": 1} for kind in many}):
        with pytest.raises(UnreadableError):
            read_reply(msgspec.msgpack.encode([7, True, body, too_many]))
