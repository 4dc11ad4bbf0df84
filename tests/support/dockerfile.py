"""The instructions of a Dockerfile, and which files of a folder a build may see."""

import json
import re
from dataclasses import dataclass
from fnmatch import fnmatchcase
from pathlib import Path


@dataclass(frozen=True)
class Instruction:
    """One of them, with its lines joined."""

    name: str
    text: str

    @property
    def words(self) -> list[str]:
        """Its exec form, or its text in words."""
        if self.text.startswith("["):
            parts: list[str] = json.loads(self.text)
            return parts
        return self.text.split()


def instructions(text: str) -> list[Instruction]:
    """Read a Dockerfile."""
    lines = [line for line in text.splitlines() if not line.lstrip().startswith("#")]
    joined = re.sub(r"\s*\\\n\s*", " ", "\n".join(lines))
    found = []
    for line in filter(None, map(str.strip, joined.splitlines())):
        name, _, rest = line.partition(" ")
        found.append(Instruction(name.upper(), rest.strip()))
    return found


def stages(found: list[Instruction]) -> list[list[Instruction]]:
    """Return the instructions of each stage; each begins with its FROM."""
    every: list[list[Instruction]] = []
    for each in found:
        if each.name == "FROM":
            every.append([])
        every[-1].append(each)
    return every


def variables(stage: list[Instruction]) -> dict[str, str]:
    """Return what a stage's ENV instructions set."""
    return dict(
        pair.split("=", 1) for each in stage if each.name == "ENV" for pair in each.text.split()
    )


def context(root: Path, ignore: str, files: list[str]) -> set[str]:
    """Return which of a folder's files a build may see: the last rule that fits decides.

    A rule that names a folder decides for what is in it, too.
    """
    rules = [line.strip() for line in ignore.splitlines() if line.strip() and line[0] != "#"]
    seen = set()
    for file in files:
        assert (root / file).exists(), file
        kept = True
        for rule in rules:
            wanted, pattern = rule.startswith("!"), rule.lstrip("!")
            if _fits(pattern, file):
                kept = wanted
        if kept:
            seen.add(file)
    return seen


def _fits(pattern: str, file: str) -> bool:
    parts = file.split("/")
    above = ["/".join(parts[:end]) for end in range(1, len(parts) + 1)]
    if pattern.startswith("**/"):
        return any(fnmatchcase(part, pattern.removeprefix("**/")) for part in parts)
    count = pattern.count("/") + 1
    return len(above) >= count and fnmatchcase(above[count - 1], pattern)
