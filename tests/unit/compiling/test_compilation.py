"""What a compiler made is kept, and nothing of it is left where that fails."""

import errno
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path

import anyio
import msgspec
import pytest

from service.compiling.compilation import CompilationError, Compiled, Compiler, CompileTurns
from service.compiling.files import CompiledFiles
from service.compiling.messages import CompileRequest
from service.core.environments import SHARED, Environment
from service.core.errors import ChildLostError
from service.core.versions import StoredVersion
from service.predictors.report import Report
from service.processes.child import Child
from service.processes.child_spec import ChildSpec
from service.processes.child_threads import ChildThreads
from service.store import manifest
from service.store.compiled_files import FILES, verified
from service.workers.factory import WorkerFactory
from tests.support.fake_models import POOL, no_description
from tests.support.fake_source import a_version

STORED = StoredVersion(a_version(1), Path("nowhere"), "digest")
REPORT = Report((), {1: "trees"}, "direct", (), 2048, 1e-12, 1, 0.5)


class LingeringChild(Child):
    """A child that writes one file more before it ends."""

    writes: Path | None = None

    async def end(self) -> None:
        """Write once more, then end."""
        if not self.lost.is_set() and self.writes is not None:
            await anyio.Path(self.writes).mkdir(parents=True, exist_ok=True)
            await anyio.Path(self.writes / "late").touch()
        await super().end()


class FakeCompiler(Compiler):
    """A compiler whose child writes one file, then does as it is told."""

    def __init__(self, folder: Path, error: Exception | None = None) -> None:
        (folder / "aside").mkdir()
        self.files = CompiledFiles(folder / "compiled", folder / "aside", 1e-12)
        factory = WorkerFactory(ChildThreads())
        super().__init__(self.files, POOL, factory, no_description, CompileTurns())
        self.error = error
        self.hangs = False
        self.at_work = 0
        self.most_at_work = 0

    @asynccontextmanager
    async def _child(
        self, stored: StoredVersion, environment: Environment, own: Path
    ) -> AsyncIterator[Child]:
        assert (stored, environment) == (STORED, SHARED)
        del own
        spec = ChildSpec("nowhere:nothing", "compiler", b"", Path("nowhere"))
        child = LingeringChild(spec, ChildThreads())
        try:
            yield child
        finally:
            await child.end()

    async def _filled(self, child: Child, request: CompileRequest) -> Report:
        assert request.load.digest == STORED.digest
        folder, first = Path(request.folder), request.first
        assert isinstance(child, LingeringChild)
        self.at_work += 1
        self.most_at_work = max(self.most_at_work, self.at_work)
        try:
            (folder / FILES).mkdir(parents=True)
            (folder / FILES / "report.json").touch()
            manifest.write(folder / manifest.MANIFEST_NAME, manifest.build(folder / FILES))
            await anyio.sleep(float("inf") if self.hangs else 0)
        finally:
            self.at_work -= 1
        if self.error is not None:
            child.writes = folder
            raise self.error
        return msgspec.structs.replace(REPORT, first=first)

    async def compile(self, *, first: bool = False) -> Compiled:
        """Compile, and have no use for it immediately."""
        async with self.compiled(STORED, first=first) as compiled:
            return compiled


def left_aside(folder: Path) -> list[Path]:
    """Return what is left half done."""
    return list((folder / "aside").iterdir())


async def test_what_was_compiled_is_kept_and_found(tmp_path: Path) -> None:
    """By the next that asks for the same version."""
    compiler = FakeCompiler(tmp_path)
    assert await compiler.kept(STORED) == ""
    compiled = await compiler.compile()
    assert compiled.report == REPORT
    assert await compiler.kept(STORED) == compiled.folder
    assert verified(Path(compiled.folder)).is_dir()
    assert left_aside(tmp_path) == []


async def test_what_is_ready_at_once_is_found_until_there_is_the_rest(tmp_path: Path) -> None:
    """Each in a folder of its own, since workers may be answering by the first."""
    compiler = FakeCompiler(tmp_path)
    first = await compiler.compile(first=True)
    assert first.report.first
    assert await compiler.kept(STORED) == first.folder
    whole = await compiler.compile()
    assert await compiler.kept(STORED) == whole.folder
    assert verified(Path(first.folder)).is_dir()


async def test_a_compiler_that_is_lost_leaves_nothing(tmp_path: Path) -> None:
    """Neither aside nor in its place, though it may write until it has ended."""
    compiler = FakeCompiler(tmp_path, ChildLostError("compiler-1 ended"))
    with pytest.raises(ChildLostError):
        await compiler.compile()
    assert await compiler.kept(STORED) == ""
    assert left_aside(tmp_path) == []


async def test_cancelling_leaves_nothing(tmp_path: Path) -> None:
    """A version may be closed while it is compiled."""
    compiler = FakeCompiler(tmp_path)
    compiler.hangs = True
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(compiler.compile)
        await anyio.wait_all_tasks_blocked()
        tasks.cancel_scope.cancel()
    assert compiler.most_at_work == 1
    assert left_aside(tmp_path) == []


async def test_a_disk_that_does_not_let_it_is_a_sentence(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is no fault of the version, which serves on."""
    compiler = FakeCompiler(tmp_path)

    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(compiler.files, "keep", full)
    with pytest.raises(CompilationError, match="No space left on device"):
        await compiler.compile()
    assert left_aside(tmp_path) == []


@pytest.mark.parametrize("first", [False, True])
async def test_versions_are_compiled_one_at_a_time(tmp_path: Path, *, first: bool) -> None:
    """What is timed together is timed wrongly."""
    compiler = FakeCompiler(tmp_path)
    async with anyio.create_task_group() as tasks:
        for _ in range(3):
            tasks.start_soon(partial(compiler.compile, first=first))
    assert compiler.most_at_work == 1


async def test_what_is_ready_at_once_does_not_wait_for_another_versions_rest(
    tmp_path: Path,
) -> None:
    """A version that is promoted soon after another would be slow for as long."""
    compiler = FakeCompiler(tmp_path)
    compiler.hangs = True
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(compiler.compile)
        await anyio.wait_all_tasks_blocked()
        compiler.hangs = False
        with anyio.fail_after(10):
            assert (await compiler.compile(first=True)).report.first
        assert compiler.at_work == 1
        tasks.cancel_scope.cancel()
