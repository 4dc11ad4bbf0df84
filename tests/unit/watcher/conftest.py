import asyncio
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import pytest
import structlog

from tests.support import loops


def pytest_asyncio_loop_factories() -> Mapping[str, Callable[[], asyncio.AbstractEventLoop]]:
    """Run on a clock that jumps: a backoff of a minute is over in no time."""
    return loops.VIRTUAL


@pytest.fixture(autouse=True)
def logs() -> Iterator[list[Any]]:
    """Keep what is logged: drawing tracebacks takes longer than all else here."""
    with structlog.testing.capture_logs() as captured:
        yield captured
