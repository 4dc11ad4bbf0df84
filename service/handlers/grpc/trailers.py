"""What every call ends with, whatever becomes of it: the id of its request."""

from collections.abc import Sequence

from service.handlers.grpc.context import Context
from service.handlers.request_id import HEADER, bind_given_id, bound_id

_KEY = HEADER.decode()


def bind_call(context: Context) -> None:
    """Bind the call's id to all that is logged in its task, and have the call end with it.

    It is the caller's `x-request-id` where that is usable, as in HTTP. To be called first.
    """
    # What is not UTF-8 comes as bytes; a name that comes twice counts as it comes first.
    given = next((value for key, value in context.invocation_metadata() or () if key == _KEY), "")
    bind_given_id(given.encode() if isinstance(given, str) else given)
    end_with(context, ())


def end_with(context: Context, metadata: Sequence[tuple[str, str]]) -> None:
    """Have the call end with these, too."""
    context.set_trailing_metadata((*metadata, (_KEY, bound_id())))
