"""Pages that are open live: what they are told, how many there may be, and how they end."""

import json
from collections.abc import AsyncGenerator
from typing import Any, NamedTuple

import anyio
import pytest

from service.core.errors import OverloadedError, ShuttingDownError
from service.core.states import State
from service.page import streams as page_streams
from service.page.models import key_of
from service.page.rendering import MODEL_PARTS, Renderer
from service.page.sampler import Sampler
from service.page.streams import Allowed, Streams, event
from service.telemetry.metrics.counts import ModelCounts
from tests.support.looked_at import LookedAt
from tests.support.promotions import a_promotion
from tests.support.waiting import until

LIMIT_S = 10


class Looked(NamedTuple):
    """Streams of one deployment, and what they look at."""

    streams: Streams
    deployment: LookedAt
    sampler: Sampler
    deployments: dict[str, LookedAt]


@pytest.fixture
def looked() -> Looked:
    """Have streams that look often."""
    deployment = LookedAt("m")
    deployments = {"m": deployment}
    sampler = Sampler(deployments, lambda _: ModelCounts())
    return Looked(Streams(deployments, sampler, Renderer(), 0.01), deployment, sampler, deployments)


async def always() -> bool:
    """Let a page's caller see all of it."""
    return True


class Told(NamedTuple):
    """An event as a browser reads it."""

    kind: str
    data: Any
    id: str


def read(raw: bytes) -> Told:
    """Read an event."""
    lines = dict(line.split(": ", 1) for line in raw.decode().strip().split("\n"))
    return Told(lines["event"], json.loads(lines["data"]), lines.get("id", ""))


async def following(stream: AsyncGenerator[bytes], kind: str, where: str = "") -> Told:
    """Return the next event of a kind, and of a part."""
    with anyio.fail_after(LIMIT_S):
        async for raw in stream:
            if raw.startswith(b":"):
                continue
            told = read(raw)
            if told.kind == kind and where in str(told.data):
                return told
    raise AssertionError(f"it ended without {kind}")


async def test_a_page_is_told_each_part_and_then_what_changes(looked: Looked) -> None:
    """A promotion shows step by step; what is the same is not sent again."""
    stream = looked.streams.of_model("m", "", always)
    assert (await following(stream, "history")).data == []
    first = [await following(stream, "part") for _ in MODEL_PARTS]
    assert {told.data["id"] for told in first} == set(MODEL_PARTS)
    assert (await following(stream, "marks")).data == []
    promotion = a_promotion(3)
    looked.deployment.memory.record(promotion)
    for state in (State.FETCHING, State.LOADING, State.PROVING):
        looked.deployment.has(promotion.version, state)
        told = await following(stream, "part", "data-step")
        assert told.data["id"] == "promotion"
        assert f'data-step="{state}" data-mark="now"' in told.data["html"]
    assert looked.streams.open == 1
    await stream.aclose()
    assert looked.streams.open == 0


async def sampled(looked: Looked) -> None:
    """Have one more point, which has a time of its own."""
    await anyio.sleep(0.002)
    await looked.sampler._sample(["m"], fine=True)


async def test_points_are_told_once(looked: Looked) -> None:
    """Also to a page that comes back: it says which one it had last, if it had one of ours."""
    with looked.sampler.watching("m"):
        await sampled(looked)
        await sampled(looked)
        stream = looked.streams.of_model("m", "", always)
        history = await following(stream, "history")
        assert len(history.data) == 1
        await sampled(looked)
        points = await following(stream, "points")
        assert [point[0] for point in points.data] > [point[0] for point in history.data]
        await stream.aclose()
        back = looked.streams.of_model("m", history.id, always)
        assert (await following(back, "points")).data == points.data
        await back.aclose()
        for strange in ("other-1", f"{looked.streams.began}-x", "-"):
            anew = looked.streams.of_model("m", strange, always)
            assert len((await following(anew, "history")).data) == 2
            await anew.aclose()


async def test_a_model_that_is_gone_ends_its_pages(looked: Looked) -> None:
    """They are told so."""
    stream = looked.streams.of_model("m", "", always)
    await following(stream, "marks")
    del looked.deployments["m"]
    await following(stream, "gone")
    with pytest.raises(StopAsyncIteration):
        await anext(stream)
    assert looked.streams.open == 0


async def test_the_list_has_the_models_that_a_caller_may_see(looked: Looked) -> None:
    """And tells of others as they come."""
    seen = {"m": looked.deployment}
    stream = looked.streams.of_all(lambda: seen, always)
    assert (await following(stream, "models")).data == [key_of("m")]
    assert (await following(stream, "part")).data["id"] == f"model-{key_of('m')}"
    seen["n"] = LookedAt("n")
    assert (await following(stream, "models")).data == [key_of("m"), key_of("n")]
    assert (await following(stream, "part")).data["id"] == f"model-{key_of('n')}"
    await stream.aclose()


async def drained(stream: AsyncGenerator[bytes]) -> None:
    """Read a stream to its end."""
    with anyio.fail_after(LIMIT_S):
        async for _ in stream:
            pass


async def test_a_stream_ends_when_the_service_does(looked: Looked) -> None:
    """Immediately, and no other one begins."""
    async with anyio.create_task_group() as reading:
        for _ in range(3):
            reading.start_soon(drained, looked.streams.of_model("m", "", always))
            reading.start_soon(drained, looked.streams.of_all(dict, always))
        await until(lambda: looked.streams.open == 6, LIMIT_S)
        looked.streams.end()
    assert looked.streams.open == 0
    with pytest.raises(ShuttingDownError):
        looked.streams.check_room()


async def test_a_stream_ends_when_its_key_opens_nothing_any_more(looked: Looked) -> None:
    """At its next look; the page is told, and is loaded anew."""

    def once() -> Allowed:
        answers = iter([True, False])

        async def allowed() -> bool:
            return next(answers)

        return allowed

    streams = looked.streams
    for stream in (streams.of_model("m", "", once()), streams.of_all(dict, once())):
        *_, last = [raw async for raw in stream]
        assert last == event("over", {})


async def test_a_stream_ends_after_its_time(
    looked: Looked, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its page asks for another one, with its key."""
    monkeypatch.setattr(page_streams, "STREAM_S", 0.1)
    await drained(looked.streams.of_model("m", "", always))


async def test_so_many_pages_may_be_open_and_no_more(
    looked: Looked, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Counted where they begin, so that none slips in between."""
    monkeypatch.setattr(page_streams, "MOST_STREAMS", 2)
    open_ones = [looked.streams.of_model("m", "", always) for _ in range(3)]
    for stream in open_ones[:2]:
        await following(stream, "marks")
    with pytest.raises(OverloadedError):
        looked.streams.check_room()
    # Its answer has begun: it ends, and its page asks again.
    assert [raw async for raw in open_ones[2]] == []
    await open_ones[0].aclose()
    looked.streams.check_room()
    await open_ones[1].aclose()


async def test_one_key_takes_not_all_of_them(
    looked: Looked, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where keys are wanted: others find room beside it."""
    monkeypatch.setattr(page_streams, "MOST_OF_A_KEY", 1)
    mine = looked.streams.of_model("m", "", always, bearer="mine")
    await following(mine, "marks")
    with pytest.raises(OverloadedError, match="by this key"):
        looked.streams.check_room("mine")
    assert [raw async for raw in looked.streams.of_all(dict, always, bearer="mine")] == []
    looked.streams.check_room("another")
    looked.streams.check_room()
    await mine.aclose()
    looked.streams.check_room("mine")


def test_an_event_is_one_whatever_its_texts_have() -> None:
    """No line's end in a text ends the event."""
    raw = event("part", {"html": "a\n\nevent: gone\r\ndata: {}\n\n\u2028"}, "7")
    assert raw.count(b"\n\n") == 1
    assert raw.endswith(b"\n\n")
    assert read(raw).data == {"html": "a\n\nevent: gone\r\ndata: {}\n\n\u2028"}
