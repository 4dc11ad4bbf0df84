"""Other calls between the chunks of one."""

import contextlib
from pathlib import Path

import anyio
import pytest
from anyio.lowlevel import checkpoint

from service.core.errors import (
    ChildLostError,
    ChildTimeoutError,
    ContractViolationError,
    SourceUnavailableError,
)
from service.processes.protocol import Nothing
from tests.support.child_targets import Data, Number, Text
from tests.support.children import (
    ALL_LOOPS,
    CALL_S,
    LARGE,
    a_child,
    posix_only,
)

pytestmark = ALL_LOOPS


@pytest.mark.parametrize("ends", ["well", "fail"])
async def test_other_calls_are_answered_between_the_chunks_of_one(
    tmp_path: Path, ends: str
) -> None:
    """As many as come, of any size; what fails between two steps is its own failure alone."""
    file = tmp_path / "end"
    told: list[str] = []

    async def chunked() -> None:
        try:
            reply = await child.call("steps", Text(str(file)), Text, timeout_s=CALL_S, chunked=True)
        except ContractViolationError as error:
            told.append(error.expected)
        else:
            told.append(reply.text.split()[1])

    async with a_child(tmp_path) as child, anyio.create_task_group() as calls:
        calls.start_soon(chunked)
        await checkpoint()
        for _ in range(3):
            assert (await child.call("echo", Data(LARGE), Data, timeout_s=CALL_S)).data == LARGE
            with pytest.raises(SourceUnavailableError):
                await child.call("fail", Text("ours"), Nothing, timeout_s=CALL_S)
            await child.ping(CALL_S)
        assert told == []
        with pytest.raises(RuntimeError, match="has 1 calls already"):
            await child.call("steps", Text(""), Text, timeout_s=CALL_S, chunked=True)
        file.write_text(ends)
    assert told == ["steps" if ends == "well" else "no failure"]


@posix_only
async def test_the_cpu_is_offered_between_steps(tmp_path: Path) -> None:
    """What answers small requests may be waiting for it."""
    async with a_child(tmp_path) as child:
        offered = await child.call("offers", Number(7), Number, timeout_s=CALL_S, chunked=True)
    assert offered.number == 7


async def test_a_call_between_steps_has_a_time_of_its_own(tmp_path: Path) -> None:
    """It does not begin with the end of what goes in chunks, which is lost with the child."""
    told: list[type[Exception]] = []

    async def chunked() -> None:
        try:
            await child.call("steps", Text("nowhere"), Text, timeout_s=CALL_S, chunked=True)
        except ChildLostError as error:
            told.append(type(error))

    async with a_child(tmp_path) as child, anyio.create_task_group() as calls:
        calls.start_soon(chunked)
        await checkpoint()
        with pytest.raises(ChildTimeoutError):
            await child.call("sleep", Number(60), Nothing, timeout_s=0.2)
    assert told == [ChildLostError]


async def test_what_goes_in_chunks_ends_with_its_own_time(tmp_path: Path) -> None:
    """However many others are answered meanwhile."""
    async with a_child(tmp_path) as child, anyio.create_task_group() as calls:

        async def others() -> None:
            with contextlib.suppress(ChildLostError):
                while True:
                    await child.ping(CALL_S)

        calls.start_soon(others)
        with pytest.raises(ChildTimeoutError, match=r"no answer to steps within 0\.5 s"):
            await child.call("steps", Text("nowhere"), Text, timeout_s=0.5, chunked=True)
