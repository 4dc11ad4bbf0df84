import pytest

from service.core.errors import ContractViolationError, MalformedBodyError
from service.handlers.control.changes import pinned_version


@pytest.mark.parametrize("body", [b'{"version": "12"}', b'{"version": 12}'])
def test_a_version_is_a_text_or_a_number(body: bytes) -> None:
    """Both mean the same."""
    assert pinned_version(body) == "12"


@pytest.mark.parametrize(
    "version", [b"9" * 5000, b'"%b"' % (b"9" * 5000), b"-1", b"1.5", b"true", b"null", b"[]"]
)
def test_anything_else_is_refused_whatever_its_length(version: bytes) -> None:
    """Before it is made a number of: Python does not make one of 5,000 digits."""
    with pytest.raises(ContractViolationError, match="at most 19 digits"):
        pinned_version(b'{"version": %b}' % version)


@pytest.mark.parametrize("body", [b"", b"{", b"\xff", b'{"version": "\xff"}'])
def test_what_is_no_json_is_told(body: bytes) -> None:
    """With the form that is wanted."""
    with pytest.raises(MalformedBodyError, match="the body is no JSON"):
        pinned_version(body)
