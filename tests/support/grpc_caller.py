"""A client of the protocol over gRPC, by the messages of ours and nothing else."""

import contextlib
from collections.abc import Iterator
from typing import Any

import grpc
import pytest

from service.handlers.grpc import open_inference_pb2 as messages

SERVICE = "inference.GRPCInferenceService"
_TIMEOUT_S = 60.0
_METHODS = messages.DESCRIPTOR.services_by_name["GRPCInferenceService"].methods_by_name


class GrpcCaller:
    """Calls one address."""

    def __init__(self, address: str, *options: tuple[str, Any]) -> None:
        # No proxy of this machine's, and answers of any size.
        least = [("grpc.enable_http_proxy", 0), ("grpc.max_receive_message_length", -1)]
        self.channel = grpc.insecure_channel(address, options=[*least, *options])

    def __call__(self, method: str, request: Any = None, **more: Any) -> Any:
        """Return what a call answers."""
        return self.with_trailers(method, request, **more)[0]

    def with_trailers(
        self, method: str, request: Any = None, **more: Any
    ) -> tuple[Any, dict[str, str]]:
        """Return that, and what came behind it."""
        described = _METHODS[method]
        kind = getattr(messages, described.output_type.name)
        if request is None:
            request = getattr(messages, described.input_type.name)()
        written = request if isinstance(request, bytes) else request.SerializeToString()
        call = self.channel.unary_unary(f"/{SERVICE}/{method}")
        answer, state = call.with_call(written, **{"timeout": _TIMEOUT_S, **more})
        return kind.FromString(answer), dict(state.trailing_metadata())

    def refused(self, method: str, request: Any = None, **more: Any) -> tuple[str, str]:
        """Return the status and the sentence of a call that is refused."""
        with pytest.raises(grpc.RpcError) as raised:
            self(method, request, **more)
        error: Any = raised.value
        return error.code().name, error.details()


@contextlib.contextmanager
def calling(address: str, *options: tuple[str, Any]) -> Iterator[GrpcCaller]:
    """Give a client, which is closed afterwards."""
    caller = GrpcCaller(address, *options)
    with caller.channel:
        yield caller
