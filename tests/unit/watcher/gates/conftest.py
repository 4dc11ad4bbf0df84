import asyncio
from collections.abc import Callable, Mapping

from tests.support import loops


def pytest_asyncio_loop_factories() -> Mapping[str, Callable[[], asyncio.AbstractEventLoop]]:
    """Run on the clock of the wall: gates read files in threads, for which no clock jumps."""
    return loops.USUAL
