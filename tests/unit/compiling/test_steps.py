"""A version is compiled in two steps; whatever fails is a line in the log, and no more."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import anyio
import msgspec
import pytest
from structlog.testing import capture_logs

from service.compiling.compilation import Compiled, Compiler, CompileTurns
from service.compiling.files import CompiledFiles
from service.compiling.steps import CompileSteps, Compiling
from service.core.environments import SHARED, Environment
from service.core.errors import ChildLostError, ServiceError
from service.core.versions import StoredVersion
from service.predictors.report import Report
from service.processes.child_threads import ChildThreads
from service.workers.factory import WorkerFactory
from service.workers.messages import ActivateReply, LoadReply
from service.workers.pool import Pool
from tests.support.fake_models import POOL, no_description
from tests.support.fake_source import a_version

STORED = StoredVersion(a_version(1), Path("nowhere"), "digest")
REPORT = Report((), {1: "trees"}, "direct", (), 2048, 1e-12, 1, 0.5)
FIRST = msgspec.structs.replace(REPORT, best={1: "llvm forest"}, first=True)


class FakeCompiler(Compiler):
    """A compiler that does as it is told, and counts."""

    def __init__(
        self,
        error: Exception | None = None,
        first: Report | Exception = FIRST,
        *,
        promising: bool = True,
    ) -> None:
        super().__init__(
            CompiledFiles(Path("a"), Path("b"), 0.0),
            POOL,
            WorkerFactory(ChildThreads()),
            no_description,
            CompileTurns(),
        )
        self.error = error
        self.first = first
        self.promising = promising
        self.asked: list[str] = []

    async def may_succeed(self, stored: StoredVersion) -> bool:
        """Say so."""
        assert stored == STORED
        return self.promising

    @asynccontextmanager
    async def compiled(
        self, stored: StoredVersion, environment: Environment = SHARED, *, first: bool = False
    ) -> AsyncIterator[Compiled]:
        """Answer immediately; what fails is the whole."""
        assert (stored, environment) == (STORED, SHARED)
        self.asked.append("first" if first else "all")
        if self.error is not None and not first:
            raise self.error
        if not first:
            yield Compiled("folder", REPORT)
        elif isinstance(self.first, Exception):
            raise self.first
        else:
            yield Compiled("first", self.first)


class FakePool(Pool):
    """A pool whose workers say what they are told to."""

    def __init__(self, reply: ActivateReply, first: ActivateReply = ActivateReply(FIRST)) -> None:  # noqa: B008 - frozen
        super().__init__(STORED, WorkerFactory(ChildThreads()), POOL)
        self.loading.set()
        self.reply = reply
        self.first = first
        self.activated: list[str] = []

    async def activate(self, compiled: str, timeout_s: float) -> ActivateReply:
        """Answer immediately: for the first with its own report, as told for the rest."""
        assert timeout_s == POOL.load_timeout_s
        self.activated.append(compiled)
        return self.first if compiled == "first" else self.reply


def loaded(activated: ActivateReply | None = None, pyfunc_only: str = "") -> Compiling:
    """Return how far it is with a version that was loaded just now."""
    return Compiling(LoadReply({}, "3", "3.11", 0.5, activated or ActivateReply(None), pyfunc_only))


async def run(compiler: Compiler, pool: Pool, compiling: Compiling) -> list[str]:
    """Have it serve, and return what was logged."""
    compiling.allow_all()
    with capture_logs() as logs:
        await CompileSteps(compiler, pool).compile_and_activate(compiling)
    return [f"{line['log_level']}: {line['event']}" for line in logs]


async def test_the_first_step_begins_behind_the_worker_that_loads() -> None:
    """And is not done again for what is activated later."""
    compiler, pool, compiling = FakeCompiler(), FakePool(ActivateReply(REPORT)), loaded()
    pool.loading = anyio.Event()
    steps = CompileSteps(compiler, pool)
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(steps.compile_first)
        await anyio.wait_all_tasks_blocked()
        assert compiler.asked == []
        pool.loading.set()
        await anyio.wait_all_tasks_blocked()
        assert (compiler.asked, pool.activated) == (["first"], [])
        compiling.allow_all()
        await steps.compile_and_activate(compiling)
    assert (compiler.asked, pool.activated) == (["first", "all"], ["first", "folder"])


async def test_no_compiler_is_started_beside_a_load_for_what_mlflow_alone_can_call() -> None:
    """It would load the model a second time, for nothing."""
    compiler, pool = FakeCompiler(promising=False), FakePool(ActivateReply(None))
    await CompileSteps(compiler, pool).compile_first()
    assert compiler.asked == []


async def test_nothing_is_taken_into_use_before_the_version_is_proved() -> None:
    """What is ready immediately is tried beside the gates, and the rest not before it serves."""
    compiler, compiling = FakeCompiler(), loaded()
    pool = FakePool(ActivateReply(REPORT))
    async with anyio.create_task_group() as tasks:
        steps = CompileSteps(compiler, pool)
        tasks.start_soon(steps.compile_and_activate, compiling)
        await anyio.wait_all_tasks_blocked()
        assert (compiler.asked, pool.activated, compiling.report) == (["first"], [], None)
        assert not compiling.settled.is_set()
        compiling.allow_quick()
        await anyio.wait_all_tasks_blocked()
        assert (compiler.asked, pool.activated, compiling.report) == (["first"], ["first"], FIRST)
        assert compiling.settled.is_set()
        compiling.allow_all()
    assert (compiler.asked, pool.activated) == (["first", "all"], ["first", "folder"])
    assert (compiling.state, compiling.report) == ("tuned", REPORT)


async def test_where_nothing_is_ready_at_once_the_rest_is_tried() -> None:
    """There is nothing to be taken into use before."""
    nothing = msgspec.structs.replace(FIRST, best={1: "pyfunc"})
    compiler, pool, compiling = (
        FakeCompiler(first=nothing),
        FakePool(ActivateReply(REPORT)),
        loaded(),
    )
    await run(compiler, pool, compiling)
    assert pool.activated == ["folder"]
    assert compiling.report == REPORT


@pytest.mark.parametrize(
    ("error", "line"),
    [
        (ChildLostError("compiler-1 ended"), "warning: first predictors not compiled"),
        (RuntimeError("a fault of ours"), "error: first predictors not compiled"),
    ],
)
async def test_where_the_first_step_fails_the_rest_is_tried(error: Exception, line: str) -> None:
    """A compiler that was killed says nothing of the others."""
    compiling, pool = loaded(), FakePool(ActivateReply(REPORT))
    assert line in await run(FakeCompiler(first=error), pool, compiling)
    assert (pool.activated, compiling.state, compiling.report) == (["folder"], "tuned", REPORT)


async def test_where_the_first_cannot_be_opened_the_rest_is_tried() -> None:
    """Files that a worker can't open say nothing of the others."""
    compiling, pool = (
        loaded(),
        FakePool(ActivateReply(REPORT), ActivateReply(None, "can't be opened")),
    )
    lines = await run(FakeCompiler(), pool, compiling)
    assert "warning: compiled predictors not used" in lines
    assert pool.activated == ["first", "folder"]
    assert (compiling.state, compiling.report, compiling.reason) == ("tuned", REPORT, "")


async def test_a_start_with_the_first_alone_goes_on_with_the_rest() -> None:
    """A service that ended too early left them behind."""
    compiler, compiling = FakeCompiler(), loaded(ActivateReply(FIRST))
    assert (compiling.state, compiling.report) == ("compiling", FIRST)
    await run(compiler, FakePool(ActivateReply(REPORT)), compiling)
    assert compiler.asked == ["all"]
    assert (compiling.state, compiling.report) == ("tuned", REPORT)


async def test_what_was_compiled_before_is_only_told() -> None:
    """Its workers answer by it from their load on."""
    compiler, compiling = FakeCompiler(), loaded(ActivateReply(REPORT))
    assert compiling.state == "tuned"
    lines = await run(compiler, FakePool(ActivateReply(None)), compiling)
    assert lines == ["info: predictors tuned"]
    assert compiler.asked == []


async def test_a_model_that_only_mlflow_can_call_starts_no_compiler() -> None:
    """The reason is told from the start."""
    compiler, compiling = FakeCompiler(), loaded(pyfunc_only="models of x are called through it")
    assert await run(compiler, FakePool(ActivateReply(None)), compiling) == []
    assert (compiler.asked, compiling.state) == ([], "pyfunc")
    assert compiling.reason == "models of x are called through it"


@pytest.mark.parametrize(
    ("error", "line"),
    [
        (ChildLostError("compiler-1 ended"), "warning: predictors not compiled"),
        (ServiceError("the disk is full"), "warning: predictors not compiled"),
        (RuntimeError("a fault of ours"), "error: predictors not compiled"),
    ],
)
async def test_a_compiler_that_fails_is_told_and_no_more(error: Exception, line: str) -> None:
    """The version serves on as it did."""
    compiling = loaded()
    pool = FakePool(ActivateReply(REPORT))
    assert (await run(FakeCompiler(error), pool, compiling))[-1] == line
    assert (compiling.state, compiling.report) == ("tuned", FIRST)
    assert str(error) in compiling.reason


async def test_without_a_worker_at_the_moment_the_next_one_uses_them() -> None:
    """What the compiler told is what will be used."""
    compiling = loaded()
    await run(FakeCompiler(), FakePool(ActivateReply(None)), compiling)
    assert (compiling.state, compiling.report) == ("tuned", REPORT)


async def test_a_worker_that_cannot_open_them_is_told_and_no_more() -> None:
    """It answers as before."""
    compiling = loaded()
    pool = FakePool(ActivateReply(None, "they can't be opened"))
    lines = await run(FakeCompiler(), pool, compiling)
    assert lines[-1] == "warning: compiled predictors not used"
    assert (compiling.state, compiling.report) == ("tuned", FIRST)
    assert compiling.reason == "they can't be opened"
