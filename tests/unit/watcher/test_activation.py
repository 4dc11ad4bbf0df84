from pathlib import Path

import anyio
import msgspec
import pytest

from service.core.verdicts import Outcome
from service.core.versions import StoredVersion
from service.predictors.report import Report
from service.serving.model import LoadedModel
from service.watcher.activation import wait_for_compiled
from service.watcher.gates.gate import Finding
from service.workers.messages import ActivateReply, LoadReply
from tests.support.fake_models import BATCHING, INTERFACE, FakePool, Fate
from tests.support.fake_source import a_version

WAIT_S = 0.05
SLOW = Report((), {1: "pyfunc"}, "direct", (), 2048, 1e-12, 1, 0.5)
REPORT = Report((), {1: "llvm forest", 64: "native"}, "direct", (), 2048, 1e-12, 1, 0.5)


def a_model(number: int, activated: Report | None = None, pyfunc_only: str = "") -> LoadedModel:
    """Return a version that was loaded just now."""
    stored = StoredVersion(a_version(number), Path(str(number)), "digest")
    loaded = LoadReply({}, "3", "3.11", 0.25, ActivateReply(activated), pyfunc_only)
    return LoadedModel(stored, INTERFACE, loaded, FakePool(stored, Fate()), BATCHING)


async def check(
    model: LoadedModel, incumbent: LoadedModel | None, wait_s: float = WAIT_S
) -> Finding:
    """Have a loaded version wait."""
    return await wait_for_compiled(model, incumbent, wait_s)


async def test_it_passes_once_they_are_in_use() -> None:
    """They may be taken into use from the moment in which all other gates have passed."""
    model = a_model(2)

    async def compile_at_once() -> None:
        await model.compiling.may_activate.wait()
        assert not model.compiling.may_go_on.is_set()
        model.compiling.activated(msgspec.structs.replace(REPORT, first=True))
        model.compiling.settled.set()

    async with anyio.create_task_group() as compiler:
        compiler.start_soon(compile_at_once)
        found = await check(model, a_model(1, REPORT), wait_s=60)
    assert found == Finding(Outcome.PASS, "one row is answered by llvm forest")


async def test_what_was_compiled_before_is_in_use_already() -> None:
    """A version that is back on its way from the disk waits for nothing."""
    found = await check(a_model(2, REPORT), a_model(1, REPORT), wait_s=60)
    assert found.outcome is Outcome.PASS


@pytest.mark.parametrize(
    ("pyfunc_only", "reason", "expected"),
    [
        ("models of x are called through it", "", "models of x are called through it"),
        ("", "compiler-2 ended", "compiler-2 ended"),
        ("", "", "none is ready yet: pyfunc answers"),
    ],
)
async def test_none_is_waited_for_where_there_is_none(
    pyfunc_only: str, reason: str, expected: str
) -> None:
    """Nor is a version refused for that."""
    model = a_model(2, pyfunc_only=pyfunc_only)
    if not pyfunc_only:
        model.compiling.failed(reason)
        model.compiling.settled.set()
    assert await check(model, a_model(1, REPORT), wait_s=60) == Finding(Outcome.SKIP, expected)


async def test_the_wait_ends() -> None:
    """Then it serves without."""
    found = await check(a_model(2), a_model(1, REPORT))
    assert found.outcome is Outcome.SKIP
    assert found.reason.startswith(f"none is in use after {WAIT_S:g} s")


@pytest.mark.parametrize("report", [None, SLOW])
async def test_none_is_waited_for_where_pyfunc_answers_already(report: Report | None) -> None:
    """The new version is no slower then."""
    model = a_model(2)
    found = await check(model, a_model(1, report), wait_s=60)
    expected = "pyfunc answers already: they are not waited for"
    assert found == Finding(Outcome.SKIP, expected)
    assert not model.compiling.may_activate.is_set()


async def test_nobody_waits_where_nothing_serves() -> None:
    """Slow answers are better than none."""
    model = a_model(1)
    assert (await check(model, None, wait_s=60)).outcome is Outcome.SKIP
    assert not model.compiling.may_activate.is_set()
