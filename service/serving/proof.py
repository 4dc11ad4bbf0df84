"""What a version was shown to be: with it, its model is opened to traffic."""

import msgspec

from service.core.verdicts import Verdict
from service.workers.messages import Timing


class Proof(msgspec.Struct, frozen=True):
    """What the gates found of a version that has passed all of them.

    `row_wise` is whether rows alone are answered as rows together: only then are requests merged.
    `timings` say how fast it was, by rows: what it is expected to take at first, and what its
    successor is compared with. `verdicts` stand in the order in which they fell. `example` is a
    body in JSON that the version has answered, empty for none: documents show it. `signed_by` is
    the key that signed it, '' where none was asked for.
    """

    verdicts: tuple[Verdict, ...] = ()
    row_wise: bool = False
    timings: tuple[Timing, ...] = ()
    example: bytes = b""
    signed_by: str = ""
