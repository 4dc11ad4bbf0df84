"""What to raise where a child ended, or said that it can't be what it was to be, at its start."""

from collections.abc import Sequence

from service.core.child_needs import CHILD_PROTOCOL, UNFIT_STATUS
from service.core.errors import (
    ChildRaisedError,
    ChildStartError,
    EnvironmentRefusedError,
    ServiceError,
)
from service.core.machine_troubles import is_transient_import
from service.processes.protocol import CountedReply, Warm, read_result

_TOLD_LINES = 3


def read_warm(reply: CountedReply) -> Warm:
    """Return what a child says of itself once it is warm.

    Raise ChildRaisedError for one that can't import what it is to run, UnreadableError for what is
    no such answer, ChildStartError for one that speaks another version of the protocol.
    """
    warm = read_result(reply, Warm, {})
    if warm.protocol != CHILD_PROTOCOL:
        raise ChildStartError(
            f"it speaks version {warm.protocol} of the protocol of a service's processes, and this "
            f"service version {CHILD_PROTOCOL}: restart the service"
        )
    return warm


def start_error(
    name: str,
    error: Exception,
    exit_code: int | None,
    last_lines: Sequence[str],
    *,
    of_own_environment: bool,
) -> ServiceError:
    """Return the error: EnvironmentRefusedError where the child's environment will never do."""
    if of_own_environment and exit_code == UNFIT_STATUS and last_lines:
        return EnvironmentRefusedError(last_lines[-1])
    if (
        of_own_environment
        and isinstance(error, ChildRaisedError)
        and not is_transient_import(str(error))
    ):
        return EnvironmentRefusedError(f"{name} can't import what it needs: {error}")
    lines = "; ".join(last_lines[-_TOLD_LINES:])
    return ChildStartError(f"{name} did not start: {error} {lines}")
