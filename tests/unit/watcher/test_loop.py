import itertools
from collections.abc import Callable

import anyio
import pytest

from service.core.versions import ModelVersion
from service.registry.poll_times import Polls, PollTimes
from service.watcher.loop import watch
from tests.support.fake_source import a_version
from tests.support.fake_watcher import FakeWatcher, a_watcher

POLL_S = 2.0
OFFSET_S = 0.5


def start(watcher: FakeWatcher, poll_s: float = POLL_S) -> None:
    """Watch until the block ends."""
    polls = Polls(PollTimes(OFFSET_S), poll_s)
    watcher.tasks.start_soon(watch, watcher.reconciler, watcher.desired, watcher.state, polls)


def raising(watcher: FakeWatcher, error: Callable[[], Exception]) -> None:
    """Have the source raise at every look, as no Source may."""

    async def resolve() -> ModelVersion | None:
        watcher.source.asked += 1
        raise error()

    watcher.source.resolve = resolve  # type: ignore[method-assign]


@pytest.mark.parametrize(
    "error",
    [
        RuntimeError,
        OSError,
        TimeoutError,
        MemoryError,
        RecursionError,
        StopIteration,
        lambda: ExceptionGroup("several", [ValueError()]),
    ],
)
async def test_the_watcher_outlives_whatever_a_pass_raises(error: Callable[[], Exception]) -> None:
    """What serves keeps serving, the failures are counted, and the next good pass clears them."""
    async with a_watcher() as watcher:
        resolve = watcher.source.resolve
        watcher.source.version = a_version(1)
        start(watcher)
        await watcher.until(lambda: watcher.serving == "1")
        raising(watcher, error)
        await watcher.until(lambda: watcher.status.passes_failed >= 3)
        assert watcher.serving == "1"
        watcher.source.resolve = resolve  # type: ignore[method-assign]
        watcher.source.version = a_version(2)
        await watcher.until(lambda: watcher.serving == "2")
        assert watcher.status.passes_failed == 0


async def test_passes_that_fail_are_made_less_often() -> None:
    """At most every half minute."""
    async with a_watcher() as watcher:
        raising(watcher, lambda: RuntimeError("a defect"))
        start(watcher)
        await anyio.sleep(3600)
        assert 3600 / 30 <= watcher.source.asked <= 3600 / 30 + 5


async def test_it_looks_in_the_moments_of_its_process() -> None:
    """So that all pointers are looked for together. A pass by itself does not shift them."""
    async with a_watcher() as watcher:
        times: list[float] = []

        async def resolve() -> ModelVersion | None:
            times.append(anyio.current_time())
            return None

        watcher.source.resolve = resolve  # type: ignore[method-assign]
        start(watcher)
        await anyio.sleep(21)
        watcher.desired.wake()
        await anyio.sleep(21)
        woken = [at for at in times if at % POLL_S != pytest.approx(OFFSET_S)]
        assert woken == pytest.approx([0, 21])
        polled = [at for at in times if at not in woken]
        gaps = [after - before for before, after in itertools.pairwise(polled)]
        assert gaps == pytest.approx([POLL_S] * 20)


async def test_a_wake_up_is_followed_immediately() -> None:
    """Also during a pass, which may have looked too early."""
    async with a_watcher() as watcher:
        watcher.source.version = a_version(1)
        start(watcher, poll_s=3600)
        await watcher.until(lambda: watcher.serving == "1")
        began = anyio.current_time()
        assert await watcher.desired.reload().settled() == a_version(1)
        watcher.source.version = a_version(2)
        assert await watcher.desired.reload().settled() == a_version(2)
        assert anyio.current_time() - began < 10
