"""The fake workers keep to what the batcher relies on."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest

from service.workers.members import Members
from tests.support.fake_workers import FakeWorkers
from tests.support.members_contract import MembersContract, Woken

pytestmark = pytest.mark.loops("virtual")


class TestFakeWorkers(MembersContract):
    """Two workers without processes."""

    @asynccontextmanager
    async def hosted(self) -> AsyncIterator[tuple[Members[Any], Woken]]:
        """Count how often they are free."""
        workers, woken = FakeWorkers(2), list[None]()
        workers.on_free = lambda: woken.append(None)
        yield workers.members, lambda: len(woken)
