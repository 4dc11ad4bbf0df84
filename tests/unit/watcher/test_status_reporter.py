"""What a rollout tells of versions beyond this service."""

import contextlib

import anyio

from service.core.errors import ChildLostError, FetchFailedError, ServiceError
from service.core.events import Trigger
from service.core.status_reporter import NullReporter, StatusReporter
from service.core.versions import ModelVersion
from tests.support.fake_models import Fate
from tests.support.fake_source import a_version
from tests.support.fake_watcher import FakeWatcher, a_watcher


class Heard:
    """A reporter that notes what it was told."""

    def __init__(self) -> None:
        self.news: list[tuple[str, str]] = []

    def serving(self, version: ModelVersion) -> None:
        """Note it."""
        self.news.append((version.version, "serving"))

    def refused(self, version: ModelVersion, reason: str) -> None:
        """Note it with the gate that stands in the reason."""
        self.news.append((version.version, reason.partition(":")[0]))

    def retired(self, version: ModelVersion) -> None:
        """Note it."""
        self.news.append((version.version, "retired"))


async def roll_out(watcher: FakeWatcher, number: int, fate: Fate | None = None) -> None:
    """Try a version."""
    if fate:
        watcher.fates.by_number[str(number)] = fate
    with contextlib.suppress(ServiceError):
        await watcher.rollout.run(a_version(number), Trigger.POLL)


async def test_what_serves_was_refused_or_is_gone_is_told() -> None:
    """A failure that passes is not: it is tried again."""
    heard = Heard()
    async with a_watcher(reporter=heard) as watcher:
        await roll_out(watcher, 1)
        await roll_out(watcher, 2, Fate(fetch_error=FetchFailedError("disk full")))
        await roll_out(watcher, 3, Fate(load_error=ChildLostError("lost")))
        await roll_out(watcher, 4)
        await watcher.until(lambda: len(heard.news) == 4)
        watcher.rollout.unload()
        await watcher.until(lambda: len(heard.news) == 5)
        assert heard.news == [
            ("1", "serving"),
            ("3", "refused by the load gate"),
            ("4", "serving"),
            ("1", "retired"),
            ("4", "retired"),
        ]


async def test_what_is_told_last_of_a_version_is_how_it_stands() -> None:
    """Also where its first lifecycle still drains while its second one answers."""
    heard = Heard()
    async with a_watcher(reporter=heard) as watcher:
        await roll_out(watcher, 1)
        with watcher.routes.lease():
            await roll_out(watcher, 2)
            await roll_out(watcher, 1)
        await watcher.until(lambda: watcher.host.opening == [a_version(1)])
        await anyio.sleep(1)
        assert heard.news == [
            ("1", "serving"),
            ("2", "serving"),
            ("1", "retired"),
            ("1", "serving"),
            ("2", "retired"),
        ]


async def test_the_null_reporter_is_a_reporter() -> None:
    """It tells nobody."""
    reporter: StatusReporter = NullReporter()
    reporter.serving(a_version(1))
    reporter.refused(a_version(1), "no")
    reporter.retired(a_version(1))
