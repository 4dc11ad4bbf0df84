"""The messages that are on their way: none is waited for without a limit.

gRPC has no limit of its own for a call whose message does not come, or comes a byte at a time.
"""

import asyncio

import grpc

from service.core.errors import OverloadedError
from service.handlers.grpc.context import Context

_LOOK_S = 0.5
_SLOW_S = 1.0
"""A message that is not there after so long is slow, and counts as one of the largest size."""


class LateMessageError(Exception):
    """A call whose message does not come in time."""


class Arrivals:
    """Reads the one message of each call, and gives up those that take too long.

    A message has `timeout_s` to come. Where more than `most_slow` are slow, the oldest are given
    up: their bytes are held in parts that nobody can count.
    """

    def __init__(self, timeout_s: float, most_slow: int) -> None:
        self._timeout_s = timeout_s
        self._most_slow = most_slow
        self._since: dict[asyncio.Task[object], float] = {}
        """Calls whose message is not there, the oldest first."""
        self._given_up: dict[asyncio.Task[object], Exception] = {}

    async def message_of(self, context: Context) -> bytes | None:
        """Return a call's message, None where it ends without one.

        Raise LateMessageError where it comes too late, and OverloadedError where too many are slow.
        """
        task = asyncio.current_task()
        assert task is not None  # noqa: S101 - gRPC makes one for each call
        self._since[task] = asyncio.get_running_loop().time()
        try:
            message = await context.read()
        except asyncio.CancelledError:
            error = self._given_up.pop(task, None)
            if error is None:
                raise
            task.uncancel()
            raise error from None
        finally:
            self._since.pop(task, None)
        return None if message is grpc.aio.EOF else message

    async def watch(self) -> None:
        """Give up what takes too long, until cancelled."""
        loop = asyncio.get_running_loop()
        while True:
            await asyncio.sleep(_LOOK_S)
            now_s = loop.time()
            slow = [task for task, since_s in self._since.items() if now_s - since_s > _SLOW_S]
            for index, task in enumerate(slow):
                if now_s - self._since[task] > self._timeout_s:
                    late = f"no message came within {self._timeout_s:g} s (BODY_TIMEOUT_S)"
                    self._give_up(task, LateMessageError(late))
                elif len(slow) - index > self._most_slow:
                    self._give_up(task, OverloadedError("too many messages come slowly"))

    def _give_up(self, task: asyncio.Task[object], error: Exception) -> None:
        if task not in self._given_up:
            self._given_up[task] = error
            task.cancel()
