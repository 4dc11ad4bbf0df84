"""What the end of an environment's trial imports means."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from service.core.errors import EnvironmentNotBuiltError, EnvironmentRefusedError
from service.environments.importing import try_imports
from service.environments.locking import Lock
from service.environments.messages import Needs
from service.environments.program import Ended


class Uv:
    """Runs nothing: the program prints these lines, behind its word, and ends so."""

    def __init__(self, status: int, *lines: str) -> None:
        self._status = status
        self._lines = lines

    async def run_other(
        self, command: list[Any], *, limit_s: float, on_line: Callable[[str], None]
    ) -> Ended:
        """Print them."""
        del limit_s
        word = next(one for one in command if str(one).startswith("import-"))
        lines = tuple(line.replace("WORD", word) for line in self._lines)
        for line in lines:
            on_line(line)
        return Ended(self._status, lines)


async def tried(status: int, *lines: str) -> tuple[str, ...]:
    """Return what was noted."""
    uv: Any = Uv(status, *lines)
    return await try_imports(uv, Path("venv"), Needs(), Lock("msgspec==0.19.0\n"), 1.0)


@pytest.mark.parametrize(
    ("status", "lines"),
    [
        (-9, ("WORD begins torch",)),
        (1, ()),
        (1, ("Fatal Python error: can't initialize",)),
        (1, ("WORD begins msgspec", "WORD failed msgspec: MemoryError")),
        (1, ("WORD begins msgspec", "WORD failed msgspec: OSError: [Errno 28] No space left")),
        (1, ("WORD begins msgspec", "WORD failed msgspec: RuntimeError: can't start new thread")),
    ],
)
async def test_what_the_machine_had_no_room_for_is_tried_again(
    status: int, lines: tuple[str, ...]
) -> None:
    """Killed from outside, never begun, or without memory, disk or threads."""
    with pytest.raises(EnvironmentNotBuiltError):
        await tried(status, *lines)


@pytest.mark.parametrize(
    ("status", "lines", "told"),
    [
        (-11, ("WORD begins torch",), r"the import of torch has ended its process \(status -11\)"),
        (3, ("WORD begins torch",), r"\(status 3\)"),
        (1, ("WORD begins msgspec", "WORD failed msgspec: ImportError: no"), "can't be imported"),
    ],
)
async def test_what_a_package_does_itself_is_final(
    status: int, lines: tuple[str, ...], told: str
) -> None:
    """It would do so again."""
    with pytest.raises(EnvironmentRefusedError, match=told):
        await tried(status, *lines)


async def test_what_nobody_needs_is_noted() -> None:
    """A model may do without."""
    assert await tried(0, "WORD begins a", "WORD failed a: ImportError: no") == (
        "it can't be imported: a: ImportError: no",
    )
