"""Why a request is refused that nobody is to blame for, in a word."""

from typing import Literal

Overload = Literal[
    "queue-rows",
    "queue-bytes",
    "service-bytes",
    "time",
    "late",
    "deadline",
    "streams",
    "overloaded",
]
