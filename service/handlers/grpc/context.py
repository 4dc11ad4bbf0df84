"""A call as its handler sees it."""

from collections.abc import Sequence
from typing import Any, Protocol

import grpc

_BY_NUMBER = {code.value[0]: code for code in grpc.StatusCode}


class Context(Protocol):
    """What is used of `grpc.aio.ServicerContext`."""

    async def read(self) -> Any:
        """Return the next message of the call, `grpc.aio.EOF` where there is none."""
        ...

    def invocation_metadata(self) -> Sequence[tuple[str, str | bytes]] | None:
        """Return the names and values that the caller sent beside the call."""
        ...

    def peer(self) -> str:
        """Return where the call comes from, such as `ipv4:127.0.0.1:4711`."""
        ...

    def time_remaining(self) -> float | None:
        """Return the seconds until the caller's deadline, None where it has none."""
        ...

    def code(self) -> grpc.StatusCode | int | None:
        """Return the status that was set, None or 0 where none was."""
        ...

    def trailing_metadata(self) -> Sequence[tuple[str, str]]:
        """Return what was set last."""
        ...

    def set_code(self, code: grpc.StatusCode) -> None:
        """Have the call end with this status."""
        ...

    def set_details(self, details: str) -> None:
        """Have it end with this sentence."""
        ...

    def set_trailing_metadata(self, metadata: tuple[tuple[str, str], ...]) -> None:
        """Have it end with these names and values, of printable ASCII."""
        ...


def status_of(context: Context) -> grpc.StatusCode:
    """Return the status that a call has by now, which the library gives as a number."""
    code = context.code() or 0
    return (
        code if isinstance(code, grpc.StatusCode) else _BY_NUMBER.get(code, grpc.StatusCode.UNKNOWN)
    )
