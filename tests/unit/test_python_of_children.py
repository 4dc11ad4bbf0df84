"""What runs in children runs on Python 3.10, which a version's own environment may have."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

OLDEST = (3, 10)
TARGETS = (
    "service.processes.inside.entry",
    "service.processes.inside.bootstrap",
    "service.workers.inside.worker",
    "service.compiling.inside.compiler",
    "service.registry.inside.client",
)
LATER = {
    "asyncio": {"Runner", "TaskGroup", "timeout"},
    "contextlib": {"chdir"},
    "datetime": {"UTC"},
    "enum": {"ReprEnum", "StrEnum", "member", "nonmember", "verify"},
    "hashlib": {"file_digest"},
    "typing": {"LiteralString", "Never", "NotRequired", "Required", "Self", "assert_never"},
}
"""What the standard library got with 3.11, by module."""
BUILT_IN = {"BaseExceptionGroup", "ExceptionGroup"}
LATER_MODULES = {"tomllib", "wsgiref.types"}
TELL = """
import importlib, sys
for name in sys.argv[1:]:
    importlib.import_module(name)
for name, module in sorted(sys.modules.items()):
    if name.split(".")[0] == "service":
        print("file:", module.__file__)
"""


def missing_in_oldest(source: str) -> list[str]:
    """Name what a source has that 3.10 does not; but not what it asks the version for before."""
    tree = ast.parse(source, feature_version=OLDEST)
    guarded = {
        node
        for one in ast.walk(tree)
        if isinstance(one, ast.If) and "version_info" in ast.unparse(one.test)
        for node in ast.walk(one)
    }
    found: list[str] = []
    for node in ast.walk(tree):
        match node:
            case _ if node in guarded:
                pass
            case ast.ImportFrom(module=module, names=names):
                found += [one.name for one in names if one.name in LATER.get(module or "", set())]
                found += [module] if module in LATER_MODULES else []
            case ast.Import(names=names):
                found += [one.name for one in names if one.name in LATER_MODULES]
            case ast.Attribute(value=ast.Name(id=module), attr=name):
                found += [name] if name in LATER.get(module, set()) else []
            case ast.Name(id=name):
                found += [name] if name in BUILT_IN else []
    return found


@pytest.mark.parametrize(
    "source",
    [
        "from enum import StrEnum",
        "import tomllib",
        "import hashlib\nhashlib.file_digest(1, 'md5')",
        "from datetime import UTC",
        "ExceptionGroup('', [])",
    ],
)
def test_what_came_later_is_found(source: str) -> None:
    """By import and by use."""
    assert missing_in_oldest(source)
    assert (
        missing_in_oldest("import sys\nif sys.version_info >= (3, 11):\n    import tomllib") == []
    )


def test_what_children_import_runs_on_python_3_10() -> None:
    """Each module of ours that a child has imported; and none of them is the server's alone."""
    ran = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", TELL, *TARGETS],
        capture_output=True,
        text=True,
        timeout=120,
        check=True,
    )
    files = [Path(line[6:]) for line in ran.stdout.splitlines() if line.startswith("file: ")]
    assert len(files) > 20
    assert {
        str(file): found for file in files if (found := missing_in_oldest(file.read_text()))
    } == {}
