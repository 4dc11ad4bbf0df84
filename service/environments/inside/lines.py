"""Lines of a requirements file that somebody else wrote: which of them uv gets to read, and how.

What is passed on was parsed here and written anew. Options, URLs, paths and names of variables are
refused, since uv would fetch, read and expand them.
"""

import re
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import NamedTuple

from packaging.requirements import InvalidRequirement, Requirement

from service.core.text import NAME_CHARACTERS, presentable

_HASH = re.compile(r"\s--hash[=\s]sha256:([0-9a-f]{64})(?=\s|$)")
_COMMENT = re.compile(r"(?:^|\s)#.*$")
_SOURCE_OPTION = re.compile(
    r"(-i|--index-url|--extra-index-url|-f|--find-links)(?:\s+|=)(https?://[^\s$`'\"\\]+)"
)
_WEB_ADDRESS = re.compile(r"(?:git\+)?(?:https?|ssh)://[^\s$`'\"\\]+")
_ARCHIVE = re.compile(
    r".*\.(?:whl|egg|zip|tar|tgz|tbz|txz|tlz|gz|bz2|xz|lz|lzma|zst)(?:\[.*)?", re.IGNORECASE
)
"""A file in the folder that uv runs in, and the name of a package as well: uv takes the file."""
_MOST_CHARACTERS = 1_500


class Lines(NamedTuple):
    """The lines that may be passed on, and a sentence for each one that may not."""

    accepted: list[str]
    refused: list[str]


def read_lines(lines: Iterable[str], root: Path, *, allow_urls: bool) -> Lines:
    """Read requirements. `root` is the version's folder, below which paths may lead."""
    found = Lines([], [])
    for line in lines:
        shown = presentable(line, NAME_CHARACTERS)
        if len(line) > _MOST_CHARACTERS:
            found.refused.append(f"{shown} is longer than a requirement")
        elif "${" in line:
            found.refused.append(f"{shown} names a variable of the environment")
        elif line.startswith("-"):
            _read_option(line, shown, found, allow_urls=allow_urls)
        else:
            _read_requirement(line, shown, found, root, allow_urls=allow_urls)
    return found


def read_lock(lines: Iterable[str]) -> Lines:
    """Read a lock: each line is one version of a package, with the hashes of its files."""
    found = Lines([], [])
    for line in lines:
        shown = presentable(line, NAME_CHARACTERS)
        requirement, hashes = _parsed(line)
        if requirement is None or requirement.url:
            found.refused.append(f"{shown} is no package by its name")
            continue
        pins = [one for one in requirement.specifier if one.operator in {"==", "==="}]
        if len(requirement.specifier) != 1 or not pins or "*" in pins[0].version:
            found.refused.append(f"{shown} does not say which version")
        elif not hashes:
            found.refused.append(f"{shown} has no hash")
        else:
            found.accepted.append(_with_hashes(str(requirement), hashes))
    return found


def logical_lines(text: str) -> Iterator[str]:
    """Yield a requirements file's lines without comments, continued ones as one."""
    for line in text.replace("\r", "").replace("\\\n", " ").split("\n"):
        wanted = _COMMENT.sub("", line).strip()
        if wanted:
            yield wanted


def _read_option(line: str, shown: str, found: Lines, *, allow_urls: bool) -> None:
    source = _SOURCE_OPTION.fullmatch(line)
    if source is None:
        found.refused.append(f"{shown} is an option")
    elif not allow_urls:
        found.refused.append(f"{shown} names an index (ENV_ALLOW_URLS)")
    else:
        found.accepted.append(f"{source[1]} {source[2]}")


def _read_requirement(line: str, shown: str, found: Lines, root: Path, *, allow_urls: bool) -> None:
    requirement, hashes = _parsed(line)
    if requirement is not None:
        address = requirement.url
        if address and not (allow_urls and _WEB_ADDRESS.fullmatch(address)):
            found.refused.append(f"{shown} names a URL or a path (ENV_ALLOW_URLS)")
        else:
            found.accepted.append(_with_hashes(str(requirement), hashes))
        return
    if not allow_urls:
        what = "names a URL or a path (ENV_ALLOW_URLS)" if _is_place(line) else "is no requirement"
        found.refused.append(f"{shown} {what}")
    elif _WEB_ADDRESS.fullmatch(line):
        found.accepted.append(line)
    elif (path := _below(root, line)) is not None:
        found.accepted.append(str(path))
    else:
        found.refused.append(f"{shown} is no requirement, and no file of the version's")


def _parsed(line: str) -> tuple[Requirement | None, list[str]]:
    """Read a line as a package by its name, and the hashes of its files."""
    hashes = _HASH.findall(line)
    try:
        requirement = Requirement(_HASH.sub("", line).strip())
    except (InvalidRequirement, ValueError, RecursionError):
        return None, hashes
    return (None if _ARCHIVE.fullmatch(requirement.name) else requirement), hashes


def _with_hashes(requirement: str, hashes: list[str]) -> str:
    return "".join([requirement, *(f" --hash=sha256:{one}" for one in sorted(set(hashes)))])


def _is_place(line: str) -> bool:
    return "/" in line or "\\" in line or _ARCHIVE.fullmatch(line) is not None


def _below(root: Path, path: str) -> Path | None:
    """Return a wheel's path below a version's folder; None for what leads elsewhere."""
    if not re.fullmatch(r"[\w./+-]{1,500}\.whl", path):
        return None
    file = root / path
    inside = file.resolve().is_relative_to(root.resolve())
    return file.resolve() if inside and file.is_file() else None
