import pytest

from tests.support.stores import Fetcher


@pytest.fixture
def fetcher() -> Fetcher:
    """Give a fetch that works immediately."""
    return Fetcher()
