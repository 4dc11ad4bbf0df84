"""The first minutes of a version that serves, in which it may fail no more than the one before."""

from collections.abc import Callable

import anyio
import msgspec

from service.serving.model import LoadedModel

MIN_REQUESTS = 20
"""Fewer requests than this say nothing about a version."""
_LOOK_EVERY_S = 0.2


class ProbationSettings(msgspec.Struct, frozen=True):
    """How long a version is watched, and the share of failed requests that is too much."""

    duration_s: float
    max_error_rate: float
    keep_warm: bool


def fails_too_often(model: LoadedModel, previous: LoadedModel | None, max_error_rate: float) -> str:
    """Say why a version is to be rolled back, '' where it is not.

    Shares are counted over all requests that each of the two had while it served.
    """
    requests = model.answered + model.failed
    if requests < MIN_REQUESTS:
        return ""
    share = model.failed / requests
    before = _share(previous)
    if share <= max_error_rate or share <= before:
        return ""
    return (
        f"{model.failed} of its first {requests} requests failed ({share:.0%}, the version before: "
        f"{before:.0%}; PROBATION_MAX_ERROR_RATE is {max_error_rate:g})"
    )


async def serve_probation(
    model: LoadedModel,
    previous: LoadedModel | None,
    settings: ProbationSettings,
    is_current: Callable[[], bool],
) -> str:
    """Watch a version that has just been swapped in, as long as it serves.

    Return '' where it passed or no longer serves, else why it must go.
    """
    ends = anyio.current_time() + settings.duration_s
    while is_current() and anyio.current_time() < ends:
        if reason := fails_too_often(model, previous, settings.max_error_rate):
            return reason
        await anyio.sleep(min(_LOOK_EVERY_S, settings.duration_s))
    return ""


def _share(model: LoadedModel | None) -> float:
    if model is None or not model.answered + model.failed:
        return 0.0
    return model.failed / (model.answered + model.failed)
