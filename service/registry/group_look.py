"""One look at a registry for all that ask for a pointer of it at the same time."""

import asyncio
from collections.abc import Awaitable, Callable, Iterator, Sequence
from urllib.parse import quote

import anyio
import structlog

from service.core.errors import ServiceError, SourceUnavailableError
from service.core.text import presentable
from service.core.versions import ModelRef, RefKind
from service.registry.messages import ResolveReply, ResolveRequest, SearchReply, SearchRequest

FEW = 3
"""Up to this many pointers are asked for one by one, which costs a registry less than a search."""
_BATCH_DELAY_S = 0.02
"""Pointers that are asked for within this time share a look. A few are not waited for."""
_MOST_NAMES = 100
"""One search has this many names at most. More would make fewer searches, and longer answers."""
_MOST_FILTER_BYTES = 4_000
"""The filter of a search is no longer: it is part of an address, and proxies limit these."""
_REFUSED_FOR_S = 600.0
"""A registry that refused to search is asked again after this time."""
_FAILED_FOR_S = 60.0
"""A registry whose search failed while it answered otherwise is asked again after this time."""
_SLOW_SHARE = 0.25
"""A pointer whose failure took more than this share of a look's time is asked for last."""
_SEARCHED = frozenset({RefKind.ALIAS, RefKind.STAGE, RefKind.LATEST})

_log = structlog.get_logger("registry")


class GroupLook:
    """Has pointers of one registry resolved together.

    What is asked for while a look is under way goes together into the next one. More than FEW are
    searched for; each that the search doesn't find is asked for by name, so that only the
    registry's word on that very pointer counts as absence, and fails alone. `run` makes the looks.
    """

    def __init__(
        self,
        ask: Callable[[ResolveRequest], Awaitable[ResolveReply]],
        search: Callable[[SearchRequest], Awaitable[SearchReply]],
        timeout_s: float,
    ) -> None:
        self._ask = ask
        self._search = search
        self._timeout_s = timeout_s
        self._waiting: dict[ModelRef, asyncio.Future[ResolveReply]] = {}
        self._asked = anyio.Event()
        self._is_over = False
        self._had_many = False
        self._no_search_until_s = 0.0
        self._slow: set[ModelRef] = set()

    @property
    def looks_singly(self) -> bool:
        """Whether the registry has to be asked for each pointer by itself, for now."""
        return anyio.current_time() < self._no_search_until_s

    async def resolve(self, request: ResolveRequest) -> ResolveReply:
        """Return what a pointer means, by a look that begins after this call.

        Raise SourceUnavailableError. Cancelling a call disturbs no other one.
        """
        if self._is_over:
            raise SourceUnavailableError("the registry is not asked any more")
        answer = self._waiting.get(request.ref)
        if answer is None:
            answer = self._waiting[request.ref] = asyncio.get_running_loop().create_future()
        self._asked.set()
        # Shielded: others may wait for the same answer.
        return await asyncio.shield(answer)

    async def run(self) -> None:
        """Look whenever something is asked for, until cancelled."""
        batch: dict[ModelRef, asyncio.Future[ResolveReply]] = {}
        try:
            while True:
                await self._asked.wait()
                self._asked = anyio.Event()
                if self._had_many:
                    await anyio.sleep(_BATCH_DELAY_S)
                batch, self._waiting = self._waiting, {}
                self._had_many = len(batch) > FEW
                try:
                    await self._look(batch)
                except Exception as error:  # noqa: BLE001 - a crash barrier: nobody else would look
                    _log.exception("look at the registry broke off")
                    _fail_all(batch, f"the service failed over it: {type(error).__name__}")
        finally:
            self._is_over = True
            _fail_all(batch | self._waiting, "the registry is not asked any more")

    async def _look(self, batch: dict[ModelRef, asyncio.Future[ResolveReply]]) -> None:
        lost_s = 0.0
        if sum(map(_is_searchable, batch)) > FEW and not self.looks_singly:
            lost_s = await self._look_together(batch)
        search_failed = lost_s > 0
        said = ""
        for ref in sorted(_open(batch), key=self._slow.__contains__):
            if said and lost_s >= self._timeout_s:
                # It is not this pointer's fault, nor any other single one's: they come first in the
                # next look, and those that failed slowly last.
                _fail(batch[ref], said)
                continue
            started_s = anyio.current_time()
            try:
                _succeed(batch[ref], await self._ask(ResolveRequest(ref)))
            except (ServiceError, OSError) as error:
                took_s = anyio.current_time() - started_s
                lost_s += took_s
                if took_s > _SLOW_SHARE * self._timeout_s:
                    self._slow.add(ref)
                said = _sentence(error)
                _fail(batch[ref], said)
            else:
                self._slow.discard(ref)
                if search_failed:
                    self._no_search_until_s = anyio.current_time() + _FAILED_FOR_S
        self._slow &= batch.keys()

    async def _look_together(self, batch: dict[ModelRef, asyncio.Future[ResolveReply]]) -> float:
        """Answer what a search finds; return the seconds that a failed one took, 0 for none."""
        for refs in _parts([ref for ref in batch if _is_searchable(ref)]):
            started_s = anyio.current_time()
            try:
                reply = await self._search(SearchRequest(refs))
            except (ServiceError, OSError) as error:
                _log.warning("search of the registry failed", reason=_sentence(error))
                return max(anyio.current_time() - started_s, 1e-9)
            if reply.refused:
                _log.info("registry is asked for each pointer", reason=reply.refused)
                self._no_search_until_s = anyio.current_time() + _REFUSED_FOR_S
                return 0.0
            for ref, found in zip(refs, reply.replies, strict=True):
                if found is not None:
                    _succeed(batch[ref], found)
        return 0.0


def _is_searchable(ref: ModelRef) -> bool:
    return ref.kind in _SEARCHED


def _parts(refs: Sequence[ModelRef]) -> Iterator[tuple[ModelRef, ...]]:
    """Yield as many pointers as one search may be for, again and again."""
    part: list[ModelRef] = []
    size_bytes = 0
    for ref in refs:
        more_bytes = len(quote(f"'{ref.name}', "))
        if part and (len(part) == _MOST_NAMES or size_bytes + more_bytes > _MOST_FILTER_BYTES):
            yield tuple(part)
            part, size_bytes = [], 0
        part.append(ref)
        size_bytes += more_bytes
    yield tuple(part)


def _open(batch: dict[ModelRef, asyncio.Future[ResolveReply]]) -> list[ModelRef]:
    return [ref for ref, answer in batch.items() if not answer.done()]


def _succeed(answer: asyncio.Future[ResolveReply], reply: ResolveReply) -> None:
    if not answer.done():
        answer.set_result(reply)


def _fail(answer: asyncio.Future[ResolveReply], reason: str) -> None:
    if not answer.done():
        answer.set_exception(SourceUnavailableError(reason))
        answer.exception()  # read, or asyncio logs it where the caller has gone


def _fail_all(batch: dict[ModelRef, asyncio.Future[ResolveReply]], reason: str) -> None:
    for answer in batch.values():
        _fail(answer, reason)


def _sentence(error: Exception) -> str:
    return presentable(str(error)) or type(error).__name__
