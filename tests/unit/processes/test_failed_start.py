"""What is raised where a child can't be what it was to be."""

import msgspec
import pytest

from service.core.child_needs import CHILD_PROTOCOL, UNFIT_STATUS
from service.core.errors import (
    ChildLostError,
    ChildRaisedError,
    ChildStartError,
    EnvironmentRefusedError,
)
from service.processes.failed_start import read_warm, start_error
from service.processes.protocol import CountedReply, UnreadableError, Warm, to_fault

FULL = "cannot map zero-fill pages: Cannot allocate memory"


def a_reply(body: object, *, ok: bool = True) -> CountedReply:
    """Return the first frame of a child."""
    return CountedReply(0, ok, msgspec.Raw(msgspec.msgpack.encode(body)))


def test_a_child_tells_its_python_and_speaks_the_same_protocol() -> None:
    """One that speaks another is not called."""
    assert read_warm(a_reply(Warm(CHILD_PROTOCOL, "3.12.1"))).python == "3.12.1"
    with pytest.raises(ChildStartError, match=r"speaks version 99 .* restart the service"):
        read_warm(a_reply(Warm(99, "3.12.1")))
    with pytest.raises(UnreadableError):
        read_warm(a_reply({}))
    with pytest.raises(ChildRaisedError, match="No module named"):
        read_warm(a_reply(to_fault(ImportError("No module named 'pandas'")), ok=False))


@pytest.mark.parametrize(
    ("error", "exit_code", "of_own_environment", "kind", "told"),
    [
        (ChildLostError("w ended"), UNFIT_STATUS, True, EnvironmentRefusedError, "^it has 3.9$"),
        (ChildLostError("w ended"), UNFIT_STATUS, False, ChildStartError, "w ended it has 3.9"),
        (ChildLostError("w ended"), 1, True, ChildStartError, "did not start: w ended"),
        (ChildRaisedError("no pandas", ""), None, True, EnvironmentRefusedError, ": no pandas$"),
        (ChildRaisedError("no pandas", ""), None, False, ChildStartError, "start: no pandas"),
        (ChildRaisedError(f"x: {FULL}", ""), None, True, ChildStartError, f"start: x: {FULL}"),
        (
            ChildRaisedError("no SIGKILL in x", ""),
            None,
            True,
            EnvironmentRefusedError,
            "SIGKILL in x$",
        ),
    ],
)
def test_an_environment_that_will_never_do_is_refused(
    error: Exception,
    exit_code: int | None,
    kind: type[Exception],
    told: str,
    *,
    of_own_environment: bool,
) -> None:
    """And nothing else: what may pass is tried again."""
    raised = start_error(
        "w", error, exit_code, ["it has 3.9"], of_own_environment=of_own_environment
    )
    assert type(raised) is kind
    with pytest.raises(kind, match=told):
        raise raised
