"""What became of calls and connections, whether a model was asked or not."""

from collections import Counter


class CallCounts:
    """Counts of the whole service. They belong to the event loop's thread.

    A route is the pattern of a path, '' for a path that has none, so that nobody's paths are kept.
    """

    def __init__(self) -> None:
        self.http: Counter[tuple[str, int]] = Counter()
        """Answers by route and status, from the first byte on."""
        self.grpc: Counter[tuple[str, str]] = Counter()
        """Calls that ended, by method and status."""
        self.connections_refused: Counter[str] = Counter()
        """Connections that were refused or given up by the wire, by reason."""

    def copy(self) -> "CallCounts":
        """Return what it is now."""
        copied = CallCounts()
        copied.http, copied.grpc = self.http.copy(), self.grpc.copy()
        copied.connections_refused = self.connections_refused.copy()
        return copied
