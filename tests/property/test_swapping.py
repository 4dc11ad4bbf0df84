"""Promotions, rollbacks, failures, outages, reloads and requests in any order: invariants 1 to 5.

Policy, gates, rollout, reconciler, routes and monitor are the real ones; store, host and registry
are fakes, and the clock jumps. Each rule is one thing that may happen; the invariants are checked
after each, and what must hold at the very moment of a swap is checked by the routes themselves.
"""

import asyncio
from contextlib import ExitStack
from typing import Any, Literal

import anyio
import structlog
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from service.control.desired import ChangeRequest
from service.core.errors import ChildLostError, FetchFailedError, NoVersionError, ServiceError
from service.core.versions import ModelVersion
from service.serving.model import LoadedModel
from service.serving.routes import Routes
from tests.support.fake_models import FakePool, Fate
from tests.support.fake_source import a_version
from tests.support.fake_watcher import DRAIN_S, FakeWatcher
from tests.support.virtual_time import VirtualTimeLoop

NUMBERS = st.integers(1, 3)
FATES = st.sampled_from(
    [
        Fate(),
        Fate(fetch_s=0, load_s=0, smoke_s=0),
        Fate(load_s=100),
        Fate(fetch_error=FetchFailedError("disk full")),
        Fate(load_error=ServiceError("no process to be had")),
        Fate(load_error=ChildLostError("lost")),
        Fate(smoke_refusal="row 0 is not finite"),
        Fate(smoke_error=ChildLostError("lost")),
    ]
)
LONG_ENOUGH_S = 200.0
"""For any backoff to end, any fate to be met, and any drain to time out."""


class WatchedRoutes(Routes):
    """Routes that check what must hold at the moment of a swap."""

    def __init__(self, machine: "Swapping") -> None:
        super().__init__()
        self._machine = machine
        self.served: list[LoadedModel] = []
        """Every model that ever was routed to."""
        self.replaced_at: dict[LoadedModel, float] = {}

    def swap(self, candidate: LoadedModel | None) -> LoadedModel | None:
        """Check, then swap."""
        answer = self._machine.last_answer
        if candidate is None:
            assert self._machine.mode == "unload", "4: it unloads, though it was told to keep"
            assert answer is None, "4: it unloads without an answer that nothing is promoted"
        else:
            pool = candidate.pool
            assert isinstance(pool, FakePool)
            assert pool.proved, "3: it serves before every gate passed"
            assert not candidate.closed.is_set(), "3: it serves what is closed"
            nothing_serves = self.current is None or self.current.closed.is_set()
            stands_in = nothing_serves and candidate.version in self._machine.watcher.store.good
            assert candidate.version == answer or stands_in, "5: an older change wins"
            self.served.append(candidate)
        previous = super().swap(candidate)
        if previous is not None:
            self.replaced_at[previous] = asyncio.get_running_loop().time()
        return previous


class Request:
    """A request that holds a lease."""

    def __init__(self, routes: Routes) -> None:
        self._lease = ExitStack()
        self.model = self._lease.enter_context(routes.lease())
        self.version = self.model.version

    def end(self) -> None:
        """Let go of it."""
        self._lease.close()


class Swapping(RuleBasedStateMachine):
    """The life of a service, from the registry's moves to its requests' ends."""

    def __init__(self) -> None:
        super().__init__()
        self.mode: Literal["keep", "unload"] = "keep"
        self.last_answer: ModelVersion | None = None
        self.requests: list[Request] = []
        self.collapsed: list[LoadedModel] = []
        self.changes: list[ChangeRequest] = []
        self.settled = 0
        self._context = ExitStack()
        self._context.enter_context(structlog.testing.capture_logs())
        self._runner = self._context.enter_context(asyncio.Runner(loop_factory=VirtualTimeLoop))
        self._loop = self._runner.get_loop()

    @initialize(mode=st.sampled_from(["keep", "unload"]), serving=st.booleans())
    def start(self, mode: Literal["keep", "unload"], *, serving: bool) -> None:
        """Start the watcher; passes are made by a rule. A version may serve already."""
        self.mode = mode
        self.routes = WatchedRoutes(self)
        started: asyncio.Future[FakeWatcher] = self._loop.create_future()
        self._stopping = asyncio.Event()

        async def host() -> None:
            async with anyio.create_task_group() as tasks:
                started.set_result(FakeWatcher(tasks, on_unpromoted=mode, routes=self.routes))
                await self._stopping.wait()
                tasks.cancel_scope.cancel()

        self._host = self._loop.create_task(host())
        self.watcher = self._loop.run_until_complete(started)
        resolve = self.watcher.source.resolve

        async def remembering() -> ModelVersion | None:
            self.last_answer = await resolve()
            return self.last_answer

        self.watcher.source.resolve = remembering  # type: ignore[method-assign]
        if serving:
            self.promote(1)
            self.things_settle()

    def _run(self, work: Any) -> Any:
        assert not self._host.done(), "what serves has ended"
        return self._loop.run_until_complete(work)

    @rule(number=NUMBERS)
    def promote(self, number: int) -> None:
        """Move the registry's pointer: up, or back."""
        self.watcher.source.version = a_version(number)

    @rule()
    def promote_nothing(self) -> None:
        """Take the pointer away."""
        self.watcher.source.version = None

    @rule(down=st.booleans())
    def registry(self, *, down: bool) -> None:
        """End or begin an outage."""
        self.watcher.source.outage = "registry down" if down else ""

    @rule(number=NUMBERS, fate=FATES)
    def fate(self, number: int, fate: Fate) -> None:
        """Decide how the next attempt at a version will go."""
        self.watcher.fates.by_number[str(number)] = fate

    @rule()
    def poll(self) -> None:
        """Make a pass."""
        self._run(self.watcher.reconciler.run_once())

    @rule()
    def things_settle(self) -> None:
        """Make passes for as long as a rollout takes."""

        async def settle() -> None:
            for _ in range(5):
                await self.watcher.reconciler.run_once()
                await anyio.sleep(1)

        self._run(settle())

    @rule()
    def reload(self) -> None:
        """Ask for a look, and make the pass that it wakes."""

        async def change() -> None:
            change = self.watcher.desired.reload()
            self.changes.append(change)
            self.watcher.tasks.start_soon(self._await_settled, change)
            await self.watcher.reconciler.run_once()

        self._run(change())

    async def _await_settled(self, change: ChangeRequest) -> None:
        try:
            target = await change.settled()
        except ServiceError:
            pass
        else:
            assert target in {model.version for model in self.routes.served}
        finally:
            self.settled += 1
            self.watcher.desired.withdraw(change)

    @rule(seconds=st.sampled_from([0.0, 0.4, 1.1, 3.5, 40.0]))
    def time_passes(self, seconds: float) -> None:
        """Let things go on: a step, part of a rollout, all of it, or more than a drain may take."""
        self._run(asyncio.sleep(seconds))

    @rule()
    def request_comes(self) -> None:
        """Take a lease, which is refused only where nothing serves."""
        try:
            self.requests.append(Request(self.routes))
        except NoVersionError:
            assert self.mode == "unload" or not self.routes.served, "2: a request finds no version"

    @precondition(lambda self: self.requests)
    @rule(data=st.data())
    def request_ends(self, data: st.DataObject) -> None:
        """Let a request go, in any order."""
        index = data.draw(st.integers(0, len(self.requests) - 1))
        self.requests.pop(index).end()

    @precondition(lambda self: self.routes.current)
    @rule()
    def version_collapses(self) -> None:
        """Let the processes of what serves be gone for good."""
        model = self.routes.current
        assert model is not None
        self.collapsed.append(model)
        model.close()
        self._run(model.closed.wait())

    @invariant()
    def invariant_1_one_request_is_answered_by_one_version(self) -> None:
        """Find that a lease holds what it was given, and every lease is counted."""
        for request in self.requests:
            assert request.model.version == request.version
        for model in self.watcher.host.opened:
            assert model.leases == sum(request.model is model for request in self.requests)

    @invariant()
    def invariant_2_no_request_fails_because_of_a_swap(self) -> None:
        """Find open what a request holds, unless for longer than a drain may take."""
        for request in self.requests:
            model = request.model
            if model.closed.is_set() and model not in self.collapsed:
                assert model in self.routes.replaced_at, "2: what serves was closed"
                held_s = self._loop.time() - self.routes.replaced_at[model]
                assert held_s >= DRAIN_S, "2: it was closed under a request"

    @invariant()
    def invariant_3_a_failed_candidate_changes_nothing_that_serves(self) -> None:
        """Find what serves proved, and open unless it collapsed."""
        current = self.routes.current
        if current is not None:
            assert isinstance(current.pool, FakePool)
            assert current.pool.proved
            assert not current.closed.is_set() or current in self.collapsed

    @invariant()
    def invariant_4_an_outage_never_unloads(self) -> None:
        """Find that something serves from the first time on, unless to unload was wanted."""
        if self.mode == "keep" and self.routes.served:
            assert self.routes.current is not None

    @invariant()
    def invariant_5_at_most_one_candidate_loads_at_a_time(self) -> None:
        """Count what is fetched, loaded and proved; the old is gone before the new begins."""
        host, store = self.watcher.host, self.watcher.store
        loaded = [model for model in host.opened if not model.closed.is_set()]
        proving = [model for model in loaded if model not in self.routes.served]
        loading = len(host.opening) - len(loaded)
        assert len(store.fetching) + loading + len(proving) <= 1

    def teardown(self) -> None:
        """Let all end well: then what is promoted serves, and nothing else is left."""
        try:
            if hasattr(self, "watcher"):
                self._loop.run_until_complete(self._end_well())
        finally:
            self._context.close()

    async def _end_well(self) -> None:
        watcher = self.watcher
        assert not self._host.done(), "what serves has ended"
        for request in self.requests:
            request.end()
        watcher.source.outage = ""
        watcher.source.version = promoted = watcher.source.version or a_version(3)
        watcher.fates.by_number.clear()
        await self._poll_for_long()
        # What was refused, perhaps by its fate of before, is tried again for who asks for it.
        self.changes.append(last := watcher.desired.reload())
        watcher.tasks.start_soon(self._await_settled, last)
        await self._poll_for_long()
        assert self.routes.current is not None
        assert self.routes.current.version == promoted
        assert watcher.host.opening == [promoted], "something that does not serve is left"
        assert [mark.stored.version for mark in watcher.store.marks] == [promoted]
        assert self.settled == len(self.changes), "somebody waits for ever"
        self._stopping.set()
        await self._host

    async def _poll_for_long(self) -> None:
        with anyio.move_on_after(LONG_ENOUGH_S):
            while True:
                await self.watcher.reconciler.run_once()
                await anyio.sleep(2)


Swapping.TestCase.settings = settings(max_examples=200, stateful_step_count=40, deadline=None)
TestSwapping = Swapping.TestCase
