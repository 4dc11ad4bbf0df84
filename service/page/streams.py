"""Tells open pages what changes: events of `text/event-stream`, until the page or the service ends.

Nothing is queued for a page: each looks at how things stand twice a second, and is sent what is
other than what it was sent last. A page that takes nothing is ended as any other such caller.
"""

import time
from collections import Counter
from collections.abc import AsyncGenerator, Awaitable, Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any, Final, TypeVar

import anyio
import anyio.lowlevel
import msgspec

from service.core.errors import OverloadedError, ShuttingDownError
from service.deployment import Deployment
from service.page.history import Point
from service.page.models import ModelView, Summary, key_of, summary_of, view_of
from service.page.rendering import Renderer
from service.page.sampler import Sampler

MOST_STREAMS: Final = 64
"""At most this many pages are open live; further ones try again, and show how things stood."""
MOST_OF_A_KEY: Final = 32
"""One key has at most this many of them, so that no bearer takes all."""
STREAM_S: Final = 60.0
"""A stream ends after this time. Its page asks for another one, and so its key is asked for too."""
_LOOK_S: Final = 0.5
"""Seconds between two looks of a page."""
_LOOKS_A_SECOND: Final = 2
"""A page is told the time after each group of this many looks, which take a second."""
_QUIET_LOOKS: Final = 20
"""A comment is sent after each group of this many looks: proxies keep a quiet connection then."""
_IN_A_STEP: Final = 10
"""The event loop comes round after each group of this many models."""

T = TypeVar("T")
_Looks = dict[str, tuple[Deployment, float, T]]
"""What was seen of a deployment, and when, by its key."""
Allowed = Callable[[], Awaitable[bool]]
"""Tells whether a page's caller may still see what it is told."""


class Streams:
    """The pages that are open live."""

    def __init__(
        self,
        deployments: Mapping[str, Deployment],
        sampler: Sampler,
        renderer: Renderer,
        look_s: float = _LOOK_S,
    ) -> None:
        self._deployments = deployments
        self._sampler = sampler
        self._renderer = renderer
        self._look_s = look_s
        self.open = 0
        """How many there are now."""
        self._of_keys: Counter[str] = Counter()
        self._ends = anyio.Event()
        self._summaries: _Looks[Summary] = {}
        self._views: _Looks[ModelView] = {}
        self.began = f"{time.time_ns():x}"
        """Tells this process from others: points of another one's are no points of ours."""

    def end(self) -> None:
        """End all of them, and take no more: the service ends."""
        self._ends.set()

    def check_room(self, bearer: str = "") -> None:
        """Raise OverloadedError or ShuttingDownError where no more may be opened.

        `bearer` is the name of the caller's key, '' where none is wanted.
        """
        if self._ends.is_set():
            raise ShuttingDownError("the service is ending")
        if self.open >= MOST_STREAMS:
            raise OverloadedError(f"{MOST_STREAMS} pages are open live already", retry_after_s=5)
        if bearer and self._of_keys[bearer] >= MOST_OF_A_KEY:
            raise OverloadedError(
                f"{MOST_OF_A_KEY} pages are open live by this key already", retry_after_s=5
            )

    @contextmanager
    def _one_more(self, bearer: str) -> Iterator[bool]:
        """Count a page meanwhile; False where others have taken its room since `check_room`.

        Its answer has begun by then and can't be refused: it ends, and the page asks again.
        """
        try:
            self.check_room(bearer)
        except (OverloadedError, ShuttingDownError):
            yield False
            return
        self.open += 1
        self._of_keys[bearer] += 1
        keys = {key_of(name) for name in self._deployments}
        self._renderer.forget(keys)
        for known in (self._summaries, self._views):
            for gone in known.keys() - keys:
                del known[gone]
        try:
            yield True
        finally:
            self.open -= 1
            self._of_keys[bearer] -= 1
            if not self._of_keys[bearer]:
                del self._of_keys[bearer]

    async def of_model(
        self,
        name: str,
        last_id: str,
        allowed: Allowed,
        until_s: float | None = None,
        bearer: str = "",
    ) -> AsyncGenerator[bytes]:
        """Yield what changes of a model: parts of its page, and the points of its charts.

        `last_id` is that of the last event that the page has seen, '' for none; `until_s` when the
        caller's own time is over, by the event loop's clock; `bearer` is the name of its key.
        """
        seen: dict[str, str] = {}
        marks: Any = None
        with self._one_more(bearer) as has_room, self._sampler.watching(name):
            if not has_room:
                return
            at_s, past = self._past(name, self._seen_until(last_id))
            if past:
                yield past
            pace = _Pace(self._ends, self._look_s, allowed, until_s)
            while await pace.goes_on():
                deployment = self._deployments.get(name)
                if deployment is None:
                    yield event("gone", {})
                    return
                view = self._looked(self._views, key_of(name), deployment, view_of)
                seen_at = deployment.status.registry.seen_at
                for told in _changed(seen, await self._renderer.parts(view, seen_at)):
                    yield told
                found = [
                    (one.noticed_at, one.ended_at, one.version, one.mark) for one in view.story
                ]
                if found != marks:
                    marks = found
                    yield event("marks", _marks(found))
                if pace.looks % _LOOKS_A_SECOND == 1:
                    yield event("now", {"at_s": time.time(), "seen_at": seen_at})
                if points := self._sampler.history(name).after(at_s):
                    at_s = points[-1].at_s
                    yield self._points("points", points, at_s)
            if pace.is_refused:
                yield event("over", {})

    async def of_all(
        self,
        visible: Callable[[], Mapping[str, Deployment]],
        allowed: Allowed,
        until_s: float | None = None,
        bearer: str = "",
    ) -> AsyncGenerator[bytes]:
        """Yield what changes in the list of the models that a caller may see, and their numbers."""
        seen: dict[str, str] = {}
        numbers: dict[str, list[float | None]] = {}
        with self._one_more(bearer) as has_room:
            if not has_room:
                return
            pace = _Pace(self._ends, self._look_s, allowed, until_s)
            while await pace.goes_on():
                if pace.looks % _QUIET_LOOKS == 0:
                    yield b":\n\n"
                shown = {key_of(name): one for name, one in visible().items()}
                if list(shown) != list(seen):
                    seen = {key: seen.get(key, "") for key in shown}
                    yield event("models", list(shown))
                for index, (key, deployment) in enumerate(shown.items()):
                    if index % _IN_A_STEP == _IN_A_STEP - 1:
                        await anyio.lowlevel.checkpoint()
                    row = await self._renderer.row(
                        self._looked(self._summaries, key, deployment, summary_of)
                    )
                    if seen[key] != row:
                        seen[key] = row
                        yield event("part", {"id": f"model-{key}", "html": row})
                found = {key: self._numbers(one.name) for key, one in shown.items()}
                if found != numbers:
                    numbers = found
                    yield event("numbers", found)
            if pace.is_refused:
                yield event("over", {})

    def _looked(
        self, known: "_Looks[T]", key: str, deployment: Deployment, look: Callable[[Deployment], T]
    ) -> T:
        """Look at a deployment, once for all pages that look at about the same time."""
        now_s = time.monotonic()
        last = known.get(key)
        if last is not None and last[0] is deployment and now_s - last[1] < self._look_s / 2:
            return last[2]
        found = look(deployment)
        known[key] = deployment, now_s, found
        return found

    def _numbers(self, name: str) -> list[float | None]:
        """Return a model's requests a second, its latency, and what failed, in ten seconds."""
        point = self._sampler.history(name).last_coarse
        return [] if point is None else [point.answered, point.p99_ms, point.failed]

    def _past(self, name: str, seen_s: float | None) -> tuple[float, bytes]:
        """Return until when a page has seen points, and the event with those that it has not."""
        if seen_s is not None:
            return seen_s, b""
        points = self._sampler.history(name).points()
        at_s = points[-1].at_s if points else 0.0
        return at_s, self._points("history", points, at_s)

    def _points(self, kind: str, points: list[Point], at_s: float) -> bytes:
        return event(kind, points, f"{self.began}-{at_s:.3f}")

    def _seen_until(self, last_id: str) -> float | None:
        """Return until when a page has seen points, None where it has seen none of ours."""
        began, _, at_s = last_id.partition("-")
        try:
            return float(at_s) if began == self.began else None
        except ValueError:
            return None


class _Pace:
    """When a page looks again: until the service ends, its time is over, or its key is no more."""

    def __init__(
        self, ends: anyio.Event, look_s: float, allowed: Allowed, until_s: float | None
    ) -> None:
        self._ends = ends
        self._look_s = look_s
        self._allowed = allowed
        over_s = anyio.current_time() + STREAM_S
        self._over_s = over_s if until_s is None else min(over_s, until_s)
        self.looks = 0
        self.is_refused = False
        """Whether the page's caller may see no more: it was signed out, or its key revoked."""

    async def goes_on(self) -> bool:
        """Wait for the next look; return False where there is none."""
        self.looks += 1
        if self.looks == 1:
            return True
        with anyio.move_on_after(self._look_s):
            await self._ends.wait()
        if self._ends.is_set() or anyio.current_time() > self._over_s:
            return False
        self.is_refused = not await self._allowed()
        return not self.is_refused


def event(kind: str, data: Any, event_id: str = "") -> bytes:
    """Return an event as it is sent: JSON has no line's end in it."""
    told = f"id: {event_id}\n" if event_id else ""
    return f"{told}event: {kind}\ndata: ".encode() + msgspec.json.encode(data) + b"\n\n"


def _changed(seen: dict[str, str], parts: Mapping[str, str]) -> Iterator[bytes]:
    """Yield events with the parts of a page that are others than it has seen, and note them."""
    for part, html in parts.items():
        if seen.get(part) != html:
            seen[part] = html
            yield event("part", {"id": part, "html": html})


def _marks(found: list[tuple[Any, ...]]) -> list[dict[str, Any]]:
    """Return the promotions that charts mark: when they ended, or else were noticed."""
    return [
        {"at_s": (ended or noticed).timestamp(), "version": version, "mark": mark}
        for noticed, ended, version, mark in found
    ]
