"""The event loops that tests run on: name some by `pytest.mark.loops(...)`."""

import asyncio
import sys
from collections.abc import Callable, Mapping
from typing import Any, NoReturn

from tests.support.virtual_time import VirtualTimeLoop

if sys.platform != "win32":
    import uvloop

    class ByCommandLoop(uvloop.Loop):  # type: ignore[misc]  # uvloop is untyped
        """uvloop, in tests whose children are started by command line."""

else:

    class ByCommandLoop(asyncio.SelectorEventLoop):
        """The loop of tests whose children are started by command line."""


class WithoutReadersLoop(asyncio.SelectorEventLoop):
    """A loop that can't watch a descriptor, as Windows' own can't."""

    def add_reader(self, *_: Any) -> NoReturn:  # type: ignore[override]
        """Refuse."""
        raise NotImplementedError


USUAL: Mapping[str, Callable[[], asyncio.AbstractEventLoop]] = {"asyncio": asyncio.new_event_loop}
"""The loop of a test that names none."""
VIRTUAL: Mapping[str, Callable[[], asyncio.AbstractEventLoop]] = {"virtual": VirtualTimeLoop}
"""A clock that jumps to the next timer, so that waits pass in no time."""
BY_COMMAND = "by command line"
ALL: Mapping[str, Callable[[], asyncio.AbstractEventLoop]] = {
    **USUAL,
    **VIRTUAL,
    "uvloop": uvloop.new_event_loop if sys.platform != "win32" else asyncio.new_event_loop,
    "without readers": WithoutReadersLoop,
    BY_COMMAND: ByCommandLoop,
}
