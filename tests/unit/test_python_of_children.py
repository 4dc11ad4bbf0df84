"""What runs in children runs on Python 3.10, which a version's own environment may have."""

import re
import subprocess
import sys
import tomllib
from fnmatch import fnmatch
from pathlib import Path

from service.core.child_needs import OLDEST_PYTHON

ROOT = Path(__file__).parents[2]
TARGETS = (
    "service.processes.inside.entry",
    "service.processes.inside.bootstrap",
    "service.processes.inside.forking",
    "service.workers.inside.worker",
    "service.workers.inside.preload",
    "service.compiling.inside.compiler",
    "service.registry.inside.client",
)
TELL = """
import importlib, sys
for name in sys.argv[1:]:
    importlib.import_module(name)
from service.workers.inside.late_modules import late_modules
for name in late_modules():
    importlib.import_module(name)
for name, module in sorted(sys.modules.items()):
    if name.split(".")[0] == "service":
        print("file:", module.__file__)
"""


def missing_in_oldest(*files: Path) -> list[str]:
    """Name what files have that the oldest Python does not, but for lines with a `novm` comment."""
    oldest = ".".join(map(str, OLDEST_PYTHON))
    ran = subprocess.run(
        [
            *(sys.executable, "-c", "import vermin; vermin.main()", f"-t={oldest}-", "--no-tips"),
            *("--violations", "--eval-annotations", "--format", "parsable", *map(str, files)),
        ],
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert ran.returncode in {0, 1}, ran.stderr
    # Besides there is a line for each file, and one for all of them.
    found = [line for line in ran.stdout.splitlines() if re.search(r"\.py:\d+:", line)]
    assert bool(found) == bool(ran.returncode), ran.stdout
    return found


def test_what_came_later_is_found(tmp_path: Path) -> None:
    """By import and by use; but not where a comment says that it is no matter."""
    later = (
        "import hashlib, subprocess, tomllib",
        "from enum import StrEnum",
        "from datetime import UTC",
        "hashlib.file_digest(1, 'md5')",
        "raise ExceptionGroup('', [])",
        "subprocess.Popen([], process_group=0)",
    )
    file = tmp_path / "later.py"
    file.write_text("\n".join(later))
    found = {line.removeprefix(f"{file}:").partition(":")[0] for line in missing_in_oldest(file)}
    assert found == {str(number) for number in range(1, len(later) + 1)}
    file.write_text("".join(f"{line}  # novm\n" for line in later))
    assert missing_in_oldest(file) == []


def test_what_children_import_runs_on_python_3_10() -> None:
    """Each module of ours that a child imports, now or later; none of them is the server's alone.

    So is each of them checked by ruff, which knows the syntax, as code of that Python.
    """
    ran = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", TELL, *TARGETS],
        capture_output=True,
        text=True,
        timeout=120,
        check=True,
    )
    files = [Path(line[6:]) for line in ran.stdout.splitlines() if line.startswith("file: ")]
    assert len(files) > 100
    assert missing_in_oldest(*files) == []
    ruff = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["ruff"]
    patterns = ruff["per-file-target-version"]
    assert set(patterns.values()) == {"py310"}
    places = {file.relative_to(ROOT).as_posix() for file in files if file.name != "__init__.py"}
    others = {one for one in places if not any(fnmatch(one, pattern) for pattern in patterns)}
    assert others == set()
