import anyio
import pytest
from anyio.lowlevel import checkpoint

from service.control.desired import DesiredState
from service.core.errors import SupersededError
from service.core.events import Trigger
from tests.support.fake_source import a_version


async def test_a_change_request_wakes_the_watcher_and_has_a_generation() -> None:
    """Each a higher one."""
    desired = DesiredState()
    first, second = desired.reload(), desired.reload()
    assert (first.generation, second.generation, desired.generation) == (1, 2, 2)
    assert desired.open_changes == (first, second)
    with anyio.fail_after(1):
        await desired.woken()


async def test_the_bell_rings_once() -> None:
    """However often it was rung before it was heard; and again after that."""
    desired = DesiredState()
    desired.wake()
    desired.wake()
    await desired.woken()
    with anyio.move_on_after(0.01) as scope:
        await desired.woken()
    assert scope.cancelled_caught
    desired.wake()
    await desired.woken()


async def test_whoever_waits_is_told_what_serves() -> None:
    """All that wait for one change request; the first word counts."""
    change = DesiredState().reload()
    change.target = a_version(1)
    got: list[object] = []

    async def wait() -> None:
        got.append(await change.settled())

    async with anyio.create_task_group() as waiting:
        waiting.start_soon(wait)
        waiting.start_soon(wait)
        await checkpoint()
        change.succeed()
        change.fail(SupersededError("too late"))
    assert got == [a_version(1)] * 2


async def test_whoever_waits_is_told_why_not() -> None:
    """The first word counts here too."""
    change = DesiredState().reload()
    change.fail(SupersededError("newer"))
    change.succeed()
    with pytest.raises(SupersededError, match="newer"):
        await change.settled()


async def test_a_change_request_outlives_a_waiter_who_went_away() -> None:
    """The watcher may settle it all the same, and nothing is logged of it."""
    desired = DesiredState()
    change = desired.reload()
    with anyio.move_on_after(0.01):
        await change.settled()
    desired.withdraw(change)
    desired.withdraw(change)
    assert desired.open_changes == ()
    change.fail(SupersededError("nobody listens"))
    del change
    await checkpoint()


async def test_a_pass_is_told_by_what_it_was_called_for() -> None:
    """Once: the next one is the timer's again."""
    desired = DesiredState()
    assert desired.take_trigger() is Trigger.POLL
    desired.wake(Trigger.WEBHOOK)
    # The end of a rollout wakes it too, and is no reason worth telling.
    desired.wake()
    await desired.woken()
    assert desired.take_trigger() is Trigger.WEBHOOK
    assert desired.take_trigger() is Trigger.POLL
