"""What a promotion may rely on of environments: the real ones and the fake that tests use."""

import threading
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import anyio
import pytest

from service.core.environments import BuildProgress, EnvironmentSettings
from service.core.errors import EnvironmentRefusedError
from service.core.versions import StoredVersion
from service.environments.environment_store import EnvironmentStore
from tests.support.fake_environments import OWN, BuildFate, FakeEnvironments
from tests.support.fake_source import a_version
from tests.support.own_environments import Offered

AUTO = EnvironmentSettings(mode="auto")


class Kind:
    """One kind of environments: version 1 can be built, 2 can't, 3 needs nothing of its own."""

    def __init__(self, store: EnvironmentStore, stored: Callable[[int], StoredVersion]) -> None:
        self.store = store
        self.stored = stored
        self.told: list[tuple[BuildProgress, int]] = []

    def progress(self, progress: BuildProgress) -> None:
        """Note what is told, and in which thread."""
        self.told.append((progress, threading.get_ident()))


@pytest.fixture(params=["fake", "real"])
async def kind(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Kind]:
    """Give each kind."""
    if request.param == "fake":
        fake = FakeEnvironments()
        fake.by_number["1"] = BuildFate(build_s=0.02)
        fake.by_number["2"] = BuildFate(
            build_s=0.02, errors=[EnvironmentRefusedError("there is no lib 9")]
        )
        fake.by_number["3"] = BuildFate(is_shared=True)
        yield Kind(fake, lambda number: StoredVersion(a_version(number), tmp_path, "digest"))
        return
    offered = Offered(tmp_path)
    real = offered.environments()
    await real.open()
    wanted = {1: "msgspec==0.19.0\n", 2: "no-such-thing==9\n", 3: "msgspec\n"}
    yield Kind(real, lambda number: offered.stored(wanted[number]))
    await offered.close()


async def test_an_environment_is_held_until_it_is_released(kind: Kind) -> None:
    """Twice, too; progress is told on the event loop, and what is shared tells none."""
    held = await kind.store.ensure(kind.stored(1), OWN, kind.progress)
    assert held.environment.key
    assert held.environment.python
    assert held.report.found_by == "requirements.txt"
    assert held.report.packages > 0
    assert held.report.was_there is False
    assert {thread for _, thread in kind.told} == {threading.get_ident()}
    await held.release()
    await held.release()
    kind.told.clear()
    shared = await kind.store.ensure(kind.stored(3), AUTO, kind.progress)
    assert shared.environment.is_shared
    assert kind.told == []
    await shared.release()


async def test_what_can_not_be_had_is_refused(kind: Kind) -> None:
    """By its own error."""
    with pytest.raises(EnvironmentRefusedError):
        await kind.store.ensure(kind.stored(2), OWN, kind.progress)


async def test_a_cancelled_search_ends_soon_and_the_next_one_is_as_any(kind: Kind) -> None:
    """Nothing of it is in the way."""
    with anyio.fail_after(10):
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(kind.store.ensure, kind.stored(1), OWN, kind.progress)
            while not kind.told:  # noqa: ASYNC110 - told from elsewhere
                await anyio.sleep(0.005)
            tasks.cancel_scope.cancel()
    held = await kind.store.ensure(kind.stored(1), OWN, kind.progress)
    assert not held.environment.is_shared
    await held.release()
