"""A deployment that breaks off is begun anew; what else runs never notices."""

from typing import Any, cast

import anyio
import pytest
from anyio.abc import TaskStatus

from service.keeper import Keeper
from service.settings.deployment import DeploymentSettings

pytestmark = pytest.mark.loops("virtual")


class Breaking:
    """A deployment that breaks off as often as it is told to, and then runs until it is left."""

    name = "breaking"

    def __init__(self, breaks: list[float]) -> None:
        self._breaks_after_s = breaks.pop(0) if breaks else None
        self._left = anyio.Event()

    def leave(self) -> None:
        """Have it end."""
        self._left.set()

    async def run(self, *, task_status: TaskStatus[None]) -> None:
        """Run, and break off where that was asked for; before it is up after less than no time."""
        if self._breaks_after_s is not None and self._breaks_after_s < 0:
            raise RuntimeError("broke off at its start")
        task_status.started()
        if self._breaks_after_s is not None:
            await anyio.sleep(self._breaks_after_s)
            raise RuntimeError("broke off")
        await self._left.wait()


def keeper_of(breaks: list[float], made: list[Breaking]) -> Keeper:
    """Return a keeper of such a deployment, each of which is put into `made`."""

    def make() -> Any:
        made.append(Breaking(breaks))
        return made[-1]

    return Keeper(DeploymentSettings(), cast("Any", make))


async def test_one_that_breaks_off_is_begun_anew() -> None:
    """A new one each time, after longer and longer; and it ends when it is left."""
    made = list[Breaking]()
    keeper = keeper_of([3.0, 0.0, -1.0], made)
    async with anyio.create_task_group() as tasks:
        await tasks.start(keeper.run)
        await anyio.sleep(3.0 + 1.0 + 2.0 + 4.0 + 0.5)
        assert len(made) == 4
        assert keeper.deployment is cast("Any", made[-1])
        assert not keeper.ended.is_set()
        keeper.leave()
    assert keeper.ended.is_set()


async def test_what_is_wrong_at_the_start_is_raised_where_it_is_waited_for() -> None:
    """The service ends, and says it; a deployment that comes later is tried again."""
    with pytest.raises(ExceptionGroup, match="unhandled") as caught:
        async with anyio.create_task_group() as tasks:
            await tasks.start(keeper_of([-1.0], []).run)
    assert caught.group_contains(RuntimeError, match="broke off at its start")
    made = list[Breaking]()
    later = keeper_of([-1.0], made)
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(later.run)
        await anyio.sleep(2.0)
        assert len(made) == 2
        later.leave()


async def test_one_that_is_left_while_it_waits_to_be_begun_anew_ends() -> None:
    """Immediately, not after the wait."""
    made = list[Breaking]()
    keeper = keeper_of([-1.0] * 9, made)
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(keeper.run)
        await anyio.sleep(40.0)
        before = len(made)
        keeper.leave()
        before_s = anyio.current_time()
        await keeper.ended.wait()
        assert anyio.current_time() - before_s < 0.1
        assert len(made) == before
