"""How many connections the descriptors of this process leave room for."""

from service import windows
from service.wire.limits import SPARE_CONNECTIONS

_FOR_SERVICE = 64
"""Descriptors of the service itself: log, journal, event loop, registry processes, standby worker,
files."""
_FOR_WORKER = 8
"""Descriptors for a worker: its pipe, its output, its sentinel, and files while it is started."""
_LOADED_VERSIONS = 3
"""Three versions have workers: the one that serves, the one before, and one that loads."""
_MOST_RAISED = 1_048_576
"""The limit is raised no further: programs that close every descriptor would take long."""
_MOST_CONNECTIONS = 10_000
"""The most that are accepted unless MAX_CONNECTIONS says so."""
_LEAST_CONNECTIONS = 8
_MOST_BACKLOG = 2048
_BACKLOG_SHARE = 8
"""One in so many descriptors is for connections that wait to be accepted: all may be accepted
together, before one of them can be closed."""


def raise_descriptor_limit() -> int | None:
    """Let this process have as many descriptors as it may; return how many, None for no limit."""
    if not windows.has_limits():
        return None
    import resource  # noqa: PLC0415 - POSIX only

    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = _MOST_RAISED if hard == resource.RLIM_INFINITY else min(hard, _MOST_RAISED)
    if soft != resource.RLIM_INFINITY and soft < wanted:
        try:
            resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))
        except (OSError, ValueError):
            return soft
        return wanted
    return _MOST_RAISED if soft == resource.RLIM_INFINITY else soft


def connections_for(
    descriptors: int | None, workers: int, wanted: int, *, transports: int = 1
) -> tuple[int, int]:
    """Return how many connections there may be, and how many may wait to be accepted.

    `wanted` is MAX_CONNECTIONS, 0 where it is not set. What children need is never given away. Of
    several transports each may have so many.
    """
    if descriptors is None:
        return wanted or _MOST_CONNECTIONS, _MOST_BACKLOG
    kept = _FOR_SERVICE + _FOR_WORKER * workers * _LOADED_VERSIONS + SPARE_CONNECTIONS
    room = max(descriptors - kept, _LEAST_CONNECTIONS)
    backlog = min(_MOST_BACKLOG, max(room // _BACKLOG_SHARE, 4))
    room = max((room - backlog) // transports, _LEAST_CONNECTIONS)
    return min(wanted or _MOST_CONNECTIONS, room), backlog
