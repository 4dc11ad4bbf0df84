from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from datetime import datetime
from typing import Any

import anyio
import pytest
import structlog

from service.core.errors import SourceUnavailableError
from service.core.events import PromotionOutcome
from service.registry.messages import TagReply, TagRequest
from service.registry.write_back import WriteBack
from tests.support.fake_source import a_version

pytestmark = pytest.mark.loops("virtual")

HOST = "here"


@pytest.fixture
def logs() -> Iterator[list[Any]]:
    """Keep what is logged."""
    with structlog.testing.capture_logs() as captured:
        yield captured


class Registry:
    """Takes tags, unless told otherwise, in a second."""

    def __init__(self) -> None:
        self.asked: list[TagRequest] = []
        self.tags: dict[str, dict[str, str]] = {}
        self.errors: list[Exception] = []
        self.note = ""

    async def tag(self, request: TagRequest) -> TagReply:
        """Take tags."""
        self.asked.append(request)
        await anyio.sleep(1)
        if self.errors:
            raise self.errors.pop(0)
        if not self.note:
            self.tags[request.version.version] = request.tags
        return TagReply(self.note)

    def statuses(self) -> dict[str, str]:
        """Return each version's status."""
        return {number: tags["hotswap.status"] for number, tags in self.tags.items()}


@asynccontextmanager
async def writing(registry: Registry) -> AsyncIterator[WriteBack]:
    """Write back meanwhile."""
    reporter = WriteBack(registry.tag, HOST)
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(reporter.run)
        yield reporter
        await anyio.sleep(600)
        tasks.cancel_scope.cancel()


async def test_news_become_tags() -> None:
    """A reason without credentials, a time, a host; the status is written last."""
    registry = Registry()
    async with writing(registry) as reporter:
        reporter.serving_changed(a_version(1), None)
        reporter.promotion_ended(
            a_version(2),
            PromotionOutcome.REFUSED,
            "it wants https://user:geheim@registry.test" + "!" * 1000,
        )
        reporter.serving_changed(None, a_version(3))
    assert registry.statuses() == {"1": "serving", "2": "refused", "3": "retired"}
    tags = registry.tags["2"]
    assert list(tags)[-1] == "hotswap.status"
    assert tags["hotswap.host"] == HOST
    assert tags["hotswap.reason"].startswith("it wants https://***@registry.test")
    assert len(tags["hotswap.reason"]) <= 500
    assert tags["hotswap.reason"].endswith(" more characters)")
    assert tags["hotswap.since"].endswith("Z")
    assert datetime.fromisoformat(tags["hotswap.since"]).tzinfo is not None


async def test_the_latest_news_of_a_version_count() -> None:
    """What came while older news were written is written after them; what is overtaken is not."""
    registry = Registry()
    async with writing(registry) as reporter:
        reporter.serving_changed(a_version(1), None)
        await anyio.sleep(0.5)
        reporter.serving_changed(None, a_version(1))
        reporter.promotion_ended(a_version(1), PromotionOutcome.REFUSED, "no")
    assert registry.statuses() == {"1": "refused"}
    assert [request.tags["hotswap.status"] for request in registry.asked] == ["serving", "refused"]


async def test_what_fails_is_tried_again(logs: list[Any]) -> None:
    """It is logged once."""
    registry = Registry()
    registry.errors = [SourceUnavailableError("down"), OSError("no process")]
    async with writing(registry) as reporter:
        reporter.serving_changed(a_version(1), None)
    assert registry.statuses() == {"1": "serving"}
    assert [entry["outcome"] for entry in logs if entry["log_level"] == "warning"] == [
        "to be tried again"
    ]


async def test_what_fails_for_good_is_given_up(logs: list[Any]) -> None:
    """The next news get their own tries."""
    registry = Registry()
    registry.errors = [SourceUnavailableError("you may not")] * 5
    async with writing(registry) as reporter:
        reporter.serving_changed(a_version(1), None)
        await anyio.sleep(100)
        reporter.serving_changed(a_version(2), None)
    assert registry.statuses() == {"2": "serving"}
    assert len(registry.asked) == 6
    assert [entry["outcome"] for entry in logs if entry["log_level"] == "warning"] == [
        "to be tried again",
        "given up",
    ]


@pytest.mark.parametrize("defect", [KeyError("ours"), None])
async def test_what_will_never_be_written_is_not_tried_again(
    logs: list[Any], defect: Exception | None
) -> None:
    """A version that is gone, and a defect of ours, which must not end the service."""
    registry = Registry()
    if defect:
        registry.errors = [defect]
    else:
        registry.note = "no such version"
    async with writing(registry) as reporter:
        reporter.serving_changed(a_version(1), None)
    assert len(registry.asked) == 1
    assert [entry["event"] for entry in logs] == ["tags not written"]


async def test_news_are_kept_in_bounded_memory() -> None:
    """While the registry hangs, the oldest are forgotten; reporting never waits."""
    registry = Registry()
    answers = anyio.Event()

    async def hang(request: TagRequest) -> TagReply:
        await answers.wait()
        return await registry.tag(request)

    async with anyio.create_task_group() as tasks:
        reporter = WriteBack(hang, HOST)
        tasks.start_soon(reporter.run)
        for number in range(500):
            reporter.serving_changed(a_version(number), None)
        await anyio.sleep(1)
        answers.set()
        await anyio.sleep(600)
        tasks.cancel_scope.cancel()
    assert list(registry.tags) == [str(number) for number in range(400, 500)]


async def test_a_swap_and_a_rollback_are_news_of_both_versions() -> None:
    """The version before is retired; one that is rolled back is refused, and not retired."""
    registry = Registry()
    async with writing(registry) as reporter:
        reporter.serving_changed(a_version(1), None)
        reporter.serving_changed(a_version(2), a_version(1))
        reporter.promotion_ended(a_version(2), PromotionOutcome.SERVING, "it serves")
        await anyio.sleep(10)
        assert registry.statuses() == {"1": "retired", "2": "serving"}
        reporter.serving_changed(a_version(1), a_version(2))
        reporter.promotion_ended(a_version(2), PromotionOutcome.ROLLED_BACK, "it fails")
    assert registry.statuses() == {"1": "serving", "2": "refused"}
    assert registry.tags["2"]["hotswap.reason"] == "rolled back: it fails"


async def test_a_version_that_is_loaded_again_serves_and_is_not_retired() -> None:
    """Its processes were gone, and a failure that passes is no news."""
    registry = Registry()
    async with writing(registry) as reporter:
        reporter.serving_changed(a_version(1), a_version(1))
        reporter.promotion_ended(a_version(2), PromotionOutcome.FAILED, "disk full")
    assert registry.statuses() == {"1": "serving"}
