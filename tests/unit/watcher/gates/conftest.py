import pytest


@pytest.fixture(scope="session")
def anyio_backend() -> str:
    """Run on the clock of the wall: gates read files in threads, for which no clock jumps."""
    return "asyncio"
