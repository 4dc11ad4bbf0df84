from collections.abc import Iterator
from typing import Any

import pytest
import structlog

from tests.support.virtual_time import VirtualTimeLoop


@pytest.fixture(scope="session")
def anyio_backend() -> tuple[str, dict[str, Any]]:
    """Run on a clock that jumps: a backoff of a minute is over in no time."""
    return "asyncio", {"loop_factory": VirtualTimeLoop}


@pytest.fixture(autouse=True)
def logs() -> Iterator[list[Any]]:
    """Keep what is logged: drawing tracebacks takes longer than all else here."""
    with structlog.testing.capture_logs() as captured:
        yield captured
