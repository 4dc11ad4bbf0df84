"""Handlers of gRPC's around others."""

from collections.abc import Callable
from typing import Any

import grpc

Answer = Callable[..., Any]
"""What a handler answers a call by: a coroutine function, or an asynchronous generator's."""


def wrapped(handler: Any, around: Callable[[Answer], Answer]) -> Any:
    """Return a handler of the same kind, which answers by what `around` makes of this one's."""
    asked = "stream" if handler.request_streaming else "unary"
    told = "stream" if handler.response_streaming else "unary"
    make = getattr(grpc, f"{asked}_{told}_rpc_method_handler")
    answer = around(getattr(handler, f"{asked}_{told}"))
    return make(answer, handler.request_deserializer, handler.response_serializer)
