"""Read what a stored version's files say of it; runs in registry processes alone."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import yaml

from service.core.described import (
    MAX_REQUIREMENTS,
    NAME_CHARACTERS,
    REQUIREMENT_CHARACTERS,
    Described,
)
from service.core.text import bounded, presentable, printable
from service.registry.messages import DescribeRequest
from service.store.mlmodel import MLMODEL, DocumentLimitError, read_mlmodel

_REQUIREMENTS = "requirements.txt"
_REQUIREMENTS_BYTES = 1_000_000


def describe(request: DescribeRequest) -> Described:
    """Return what the files in a version's folder say, as far as it is said in few words.

    Raise OSError where the disk does not let them be read.
    """
    path = Path(request.path)
    try:
        flavour = _python_function(read_mlmodel(path))
    except DocumentLimitError as error:
        return Described(refusal=f"{MLMODEL} is more than is read of such a file: {error}")
    except (yaml.YAMLError, UnicodeDecodeError, FileNotFoundError):
        flavour = {}  # the load gate has its own words for such a file
    lines = list(requirement_lines(_requirements(path)))
    return Described(
        python=_word(flavour.get("python_version")),
        loader=_word(flavour.get("loader_module")),
        requirements=tuple(lines[:MAX_REQUIREMENTS]),
        left_out=max(0, len(lines) - MAX_REQUIREMENTS),
    )


def requirement_lines(requirements: str) -> Iterator[str]:
    """Yield a requirements file's lines without comments, hashes and line breaks, each cut."""
    for line in requirements.replace("\\\n", " ").splitlines():
        wanted = f" {line}".partition(" #")[0].partition(" --hash")[0].strip()
        if wanted:
            yield bounded(printable(wanted), REQUIREMENT_CHARACTERS)


def _python_function(described: Any) -> dict[str, Any]:
    try:
        flavour = described["flavors"]["python_function"]
    except (LookupError, TypeError):
        return {}
    return flavour if isinstance(flavour, dict) else {}


def _word(value: Any) -> str:
    """Return a value as a name, '' for what is none."""
    if isinstance(value, bool) or not isinstance(value, str | int | float):
        return ""
    try:
        return presentable(str(value), NAME_CHARACTERS)
    except ValueError:  # an integer of too many digits
        return ""


def _requirements(path: Path) -> str:
    file = path / _REQUIREMENTS
    if not file.is_file():
        return ""
    with file.open("rb") as content:
        return content.read(_REQUIREMENTS_BYTES).decode("utf-8", "replace")
