"""Whether the service's own environment has all that a version needs."""

import anyio.to_thread

from service.core.described import Described
from service.core.text import LISTED_CHARACTERS, bounded
from service.environments.comparison import compare_here

_SHOWN = 20


async def differences(python: str, requirements: tuple[str, ...]) -> tuple[str, ...]:
    """Return what of a version's needs is not installed here, a sentence each; the first ones.

    A line that names a place, or can't be read, is a difference: nobody can tell.
    """
    lines = tuple(line.partition(" --hash")[0] for line in requirements)
    named = tuple(line for line in lines if "@" not in line.partition(";")[0])
    found = await anyio.to_thread.run_sync(compare_here, Described(python, requirements=named))
    unread = [line for line in lines if line not in named] + found.unread
    sentences = [*found.differences, *(f"{line} can't be compared" for line in unread)]
    return tuple(bounded(one, LISTED_CHARACTERS) for one in sentences[:_SHOWN])


def requirements_of(lock: str) -> tuple[str, ...]:
    """Return the lines of a lock without hashes."""
    lines = (line.rstrip("\\ ") for line in lock.splitlines() if line[:1] not in {"", " ", "#"})
    return tuple(line.partition(" --hash")[0] for line in lines)
