"""Kinds of values that several settings have."""

from typing import Annotated

from msgspec import Meta

DAY_S = 86_400

Seconds = Annotated[float, Meta(ge=0.01, le=DAY_S)]
"""A duration that has to pass: from 10 ms, below which timers only keep the CPU busy, to a day."""

Bytes = Annotated[int, Meta(ge=1024, le=2**40)]
"""A size: at least a kibibyte, at most a tebibyte."""
