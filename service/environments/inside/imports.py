"""Import what an environment was built for, in its own Python. Imports nothing of ours.

Its arguments are a word that begins each of its own lines, the modules that have to be there, and
behind `--` the packages of which every module is tried.
"""

import importlib
import importlib.metadata
import sys
import traceback
from collections.abc import Iterator


def modules_of(package: str) -> Iterator[str]:
    """Yield the modules that a package has at the top."""
    try:
        files = importlib.metadata.files(package) or []
    except importlib.metadata.PackageNotFoundError:
        return
    names = {
        file.parts[0].partition(".")[0]
        for file in files
        if file.suffix == ".py" and file.name in (file.parts[0], "__init__.py")
        if file.parts[1:] in ((), ("__init__.py",))
    }
    yield from sorted(name for name in names if name.isidentifier())


def attempt(word: str, name: str) -> bool:
    """Import a module, and say so before and afterwards."""
    say(word, "begins", name)
    try:
        importlib.import_module(name)
    except BaseException as error:  # noqa: BLE001 - SystemExit, too: it is a package's own code
        last = traceback.format_exception_only(type(error), error)[-1].strip()
        say(word, "failed", f"{name}: {last}")
        return False
    return True


def say(word: str, what: str, text: str) -> None:
    """Print a line of our own, whatever a package has made of `sys.stdout`."""
    line = " ".join(f"{word} {what} {text}".split())
    print(line, file=sys.__stdout__, flush=True)


def main(word: str, *names: str) -> int:
    """Try all of them; the status is 1 where one that has to be there is not."""
    between = names.index("--")
    all_there = True
    for name in names[:between]:
        all_there = attempt(word, name) and all_there
    for package in names[between + 1 :]:
        for name in modules_of(package):
            attempt(word, name)
    say(word, "ended", "")
    return 0 if all_there else 1


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
