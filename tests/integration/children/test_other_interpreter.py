"""Children in another interpreter."""

from pathlib import Path

import msgspec
import psutil
import pytest

from service.core.errors import ChildStartError, EnvironmentRefusedError, ServiceError
from service.processes.child import start_child
from service.processes.child_spec import ChildSpec
from service.processes.child_threads import ChildThreads
from service.processes.protocol import Nothing
from tests.support.children import (
    ALL_LOOPS,
    CALL_S,
    ROOT,
    START_S,
    Interpreter,
    a_child,
    by_command,
    make_environment,
    only_linux,
    posix_only,
)

pytestmark = ALL_LOOPS
TARGET = """
import ctypes, os, sys
import msgspec, service
from tests_words import Told


def operations(_):
    def tell(_):
        dumpable = ctypes.CDLL(None).prctl(3, 0, 0, 0, 0)
        return Told(sys.prefix, service.__file__, sys.path, os.getcwd(), dumpable)
    return {"tell": (msgspec.Raw, tell)}
"""
WORDS = """
import msgspec


class Told(msgspec.Struct):
    prefix: str
    service: str
    path: list[str]
    folder: str
    dumpable: int
"""


class Told(msgspec.Struct):
    """What a child says of where it runs."""

    prefix: str
    service: str
    path: list[str]
    folder: str
    dumpable: int


@by_command
@only_linux
async def test_another_interpreter_gets_our_code_and_nothing_else_of_ours(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, another_interpreter: Path
) -> None:
    """Its packages are its own; and nobody reads what it was told, as in any child."""
    (tmp_path / "own_target.py").write_text(TARGET)
    (tmp_path / "tests_words.py").write_text(WORDS)
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    monkeypatch.chdir(tmp_path)
    spec = ChildSpec(
        "own_target:operations",
        "elsewhere",
        b"given",
        tmp_path,
        variables={"TOLD_IN_SECRET": "s3cret"},
        interpreter=another_interpreter,
    )
    child = await start_child(spec, ChildThreads(), START_S)
    try:
        told = await child.call("tell", Nothing(), Told, timeout_s=CALL_S)
        process = psutil.Process(child.pid)
        readable = f"{process.environ()} {process.cmdline()}"
    finally:
        await child.end()
    assert told.prefix == str(another_interpreter.parents[1])
    assert told.service == str(ROOT / "service" / "__init__.py")
    assert [path for path in told.path if path.startswith(str(ROOT)) and ".venv" not in path] == []
    assert told.folder == str(tmp_path)
    assert told.dumpable == 0
    assert "PYTHONPATH" in readable
    assert "s3cret" not in readable


@by_command
@posix_only
@pytest.mark.parametrize(
    ("interpreter", "target", "error", "told"),
    [
        (
            *("nowhere/python", "operations", ChildStartError),
            "could not be started: .*No such file.*nowhere/python",
        ),
        (
            *("broken/bin/python", "operations", EnvironmentRefusedError),
            "msgspec can't be imported by .*No module named 'msgspec'",
        ),
        ("", "no_such_function", ChildStartError, "not start: .*no attribute 'no_such_function'"),
        ("text", "operations", ChildStartError, "could not be started: .*text"),
    ],
)
async def test_a_start_elsewhere_that_fails_says_why(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    another_interpreter: Path,
    interpreter: str,
    target: str,
    error: type[ServiceError],
    told: str,
) -> None:
    """No such interpreter, one without what is needed, or nothing to run there; nothing is left."""
    if interpreter.startswith("broken"):
        make_environment(tmp_path / "broken")
    (tmp_path / "text").write_text("no program")
    (tmp_path / "text").chmod(0o755)
    async with a_child(tmp_path):
        pass
    files = psutil.Process().num_fds()
    chosen = tmp_path / interpreter if interpreter else another_interpreter
    monkeypatch.setattr(Interpreter, "chosen", chosen)
    with pytest.raises(error, match=told):
        async with a_child(tmp_path, target):
            pass
    assert psutil.Process().num_fds() <= files
