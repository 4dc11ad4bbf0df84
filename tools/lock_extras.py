"""Give each lock a line for the extras that locked packages ask each other for.

    python -m tools.lock_extras requirements-dev.lock requirements-image.lock

uv pins `pydantic`, and a package that asks for `pydantic[email]` is content with that, where uv
installs it. pip is not: with hashes it wants `pydantic[email]` pinned as well, beside the other
line. What is missing is what pip complains of, which needs a package index and a minute for each.
"""

import re
import subprocess
import sys
import tempfile
from pathlib import Path

_UNPINNED = re.compile(r"^ +([\w.-]+)\[([\w.,-]+)\].* \(from ", re.MULTILINE)
_MOST_LINES = 20


def main(locks: list[str]) -> None:
    """Add to each lock what pip wants."""
    with tempfile.TemporaryDirectory() as folder:
        subprocess.run([sys.executable, "-m", "venv", "--without-pip", folder], check=True)
        for lock in map(Path, locks):
            for _ in range(_MOST_LINES):
                missing = _complaint(lock, folder)
                if missing is None:
                    break
                lock.write_text(with_extras(lock.read_text(encoding="utf-8"), *missing))
                sys.stdout.write(f"{lock}: {missing[0]}[{missing[1]}]\n")


def with_extras(lock: str, name: str, extras: str) -> str:
    """Return a lock with a package's line once more, for its extras. Raise LookupError."""
    pinned = rf"^{re.escape(name)}(==[^\n]*\n(?: +--hash=[^\n]*\n)+)"
    found = re.search(pinned, lock, re.MULTILINE | re.IGNORECASE)
    if found is None:
        raise LookupError(f"{name} is not locked")
    return lock.replace(found[0], f"{found[0]}{name}[{extras}]{found[1]}")


def _complaint(lock: Path, folder: str) -> tuple[str, str] | None:
    """Return the package and the extras that pip wants pinned, None where it wants nothing."""
    pip = [sys.executable, "-m", "pip", "--python", folder, "install", "--dry-run", "--quiet"]
    done = subprocess.run(
        [*pip, "--require-hashes", "-r", str(lock)], capture_output=True, text=True, check=False
    )
    if done.returncode == 0:
        return None
    found = _UNPINNED.search(done.stderr)
    if found is None:
        raise SystemExit(done.stderr)
    return found[1], found[2]


if __name__ == "__main__":
    main(sys.argv[1:])
