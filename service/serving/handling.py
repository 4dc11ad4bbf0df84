"""How an answered request went through the server process."""

import msgspec


class Handling(msgspec.Struct, frozen=True, gc=False):
    """What a request found when it came, and when its body was read and its answer written.

    When it came, `waiting` others waited for a worker, and `unanswered` had no answer yet, itself
    included. Moments are by the performance counter, and 0 for a step that is done elsewhere.
    """

    waiting: int = 0
    unanswered: int = 1
    decoded_at_s: float = 0.0
    encoding_at_s: float = 0.0
