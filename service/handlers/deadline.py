"""Until when a caller waits for its answer, by the event loop's time; None for no such limit."""

import asyncio

from litestar.types import Scope

from service.core.errors import MalformedHeaderError
from service.core.text import presentable

HEADER = b"x-request-timeout-ms"
_STATE = "deadline_s"
_MOST_DIGITS = 12
_SHOWN = 40


def bind_deadline(scope: Scope, given: bytes) -> float:
    """Return when the time is over that a head gives its request, which begins now.

    `deadline_of` returns it from here on. Raise MalformedHeaderError.
    """
    if not given.isdigit() or len(given) > _MOST_DIGITS or not int(given):
        shown = presentable(given.decode("latin-1"), _SHOWN)
        raise MalformedHeaderError(
            f"{HEADER.decode()} is {shown!r}, and no number of milliseconds from 1 on"
        )
    deadline_s = asyncio.get_running_loop().time() + int(given) / 1000
    scope["state"][_STATE] = deadline_s
    return deadline_s


def deadline_of(scope: Scope) -> float | None:
    """Return when the time is over that a request's head gives it.

    It begins now where the request did not come by the direct way, as those of the page do not.
    Raise MalformedHeaderError.
    """
    deadline_s: float | None = scope["state"].get(_STATE)
    if deadline_s is None:
        given = next((value for name, value in scope["headers"] if name == HEADER), None)
        deadline_s = None if given is None else bind_deadline(scope, given)
    return deadline_s


def deadline_in(timeout_s: float | None) -> float | None:
    """Return the time in so many seconds."""
    return None if timeout_s is None else asyncio.get_running_loop().time() + timeout_s


def earlier(one_s: float | None, other_s: float | None) -> float | None:
    """Return the first of two deadlines."""
    if one_s is None or other_s is None:
        return other_s if one_s is None else one_s
    return min(one_s, other_s)
