"""Refuse a request by nothing but its head, before its body is read: that may be large, or slow."""

from typing import Any

from litestar import Request

from service.deployment import Deployment
from service.serving.dataplane import DataPlane

MOST_DIGITS = 15
"""A number of more digits is none that a body could have."""


def refuse_early(
    request: Request[Any, Any, Any], deployment: Deployment, dataplane: DataPlane
) -> None:
    """Raise OverloadedError where a body of the size that is told would be refused."""
    length = request.headers.get("content-length", "")
    told = length.isascii() and length.isdigit() and len(length) <= MOST_DIGITS
    refusal = dataplane.refusal(deployment, int(length) if told else 0)
    if refusal is not None:
        raise refusal
