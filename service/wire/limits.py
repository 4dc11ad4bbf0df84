"""What connections may take: as it is set, and as the descriptors of the process allow it."""

import msgspec

HEAD_BYTES = 65_536
"""The most that a head may have, or a body's trailers, or what frames its chunks."""
HEAD_FIELDS = 128
"""The most headers or trailers of a request."""
PIPELINED = 64
"""The most requests that a connection may send ahead of their answers."""
UNCOUNTED_BYTES = 8_192
"""A connection may hold so much when MAX_BODIES_BYTES is used up: small requests go on."""
LEAST_BYTES_PER_S = 1_000
"""A body that is sent, or an answer that is taken, at a lower rate over BODY_TIMEOUT_S ends."""
SPARE_CONNECTIONS = 16
"""So many more than MAX_CONNECTIONS are let in, to be told so, or to ask for health."""


class WireLimits(msgspec.Struct, frozen=True, kw_only=True):
    """The limits of all connections together.

    `health_paths` are answered on a connection over the limit, too.
    """

    max_connections: int
    max_bodies_bytes: int
    max_body_bytes: int
    head_timeout_s: float
    body_timeout_s: float
    keep_alive_s: float
    health_paths: frozenset[bytes] = frozenset()
