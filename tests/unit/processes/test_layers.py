"""The mechanism of processes knows nothing of what runs in them, not even by a name in a text."""

import ast
from pathlib import Path

import pytest

import service.processes

FOLDER = Path(service.processes.__file__).parent
ABOVE = {
    *(f"service.{name}" for name in ("codecs", "contracts", "compiling", "predictors", "registry")),
    *(f"service.{name}" for name in ("settings", "serving", "store", "watcher", "workers")),
}


def named_in(source: str) -> set[str]:
    """Return what is named in a source's texts and imports and belongs above."""
    texts: list[str] = []
    for node in ast.walk(ast.parse(source)):
        match node:
            case ast.Constant(value=str(text)):
                texts.append(text)
            case ast.ImportFrom(module=str(module)):
                texts.append(module)
            case ast.Import(names=names):
                texts += [one.name for one in names]
    return {above for above in ABOVE for text in texts if above in text}


@pytest.mark.parametrize("file", sorted(FOLDER.rglob("*.py")), ids=lambda file: file.stem)
def test_no_room_above_is_named(file: Path) -> None:
    """What it runs is told by its caller: modules to preload, targets, errors."""
    assert named_in(file.read_text("utf-8")) == set()


def test_a_name_in_a_text_is_found() -> None:
    """A target is a text, which no look at imports would find."""
    assert named_in("X = ['service.workers.inside.preload']") == {"service.workers"}
    assert named_in("from service.settings.settings import Settings") == {"service.settings"}
