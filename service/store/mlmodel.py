"""The file in which MLflow describes a model, beside it. Read in child processes alone.

Anybody who may log a model writes it, so its size, its depth and what its aliases stand for are
limited.
"""

from pathlib import Path
from typing import IO, Any

import yaml

MLMODEL = "MLmodel"
MAX_BYTES = 16_000_000
"""A larger file is not read; the signature of ten thousand columns takes a megabyte."""
MAX_VALUES = 500_000
MAX_LEVELS = 50
MAX_CHARACTERS = 2 * MAX_BYTES
"""All texts together have no more characters, each counted wherever an alias repeats it."""
_MOST_DIGITS = 64
"""A number to the base of 60, such as `1:30:00`, has no more: PyYAML takes a time that grows
with the square of its length."""
_OF_BASE_60 = "0123456789:_+-"
_LOADER: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
"""LibYAML's loader takes a tenth of the time, where PyYAML was built with it."""


class DocumentLimitError(yaml.YAMLError):
    """A document beyond what is read; its message says in which way."""


def read_mlmodel(root: Path) -> Any:
    """Return what it says, a mapping unless somebody else wrote it.

    Raise OSError where it can't be read, UnicodeDecodeError or yaml.YAMLError where it is no YAML,
    and DocumentLimitError, one of those, where it is too much.
    """
    with (root / MLMODEL).open("rb") as file:
        content = file.read(MAX_BYTES + 1)
    if len(content) > MAX_BYTES:
        raise DocumentLimitError(f"it has more than {MAX_BYTES} bytes")
    return safe_load(content.decode("utf-8"))


def safe_load(stream: str | bytes | IO[str] | IO[bytes]) -> Any:
    """Do what `yaml.safe_load` does, within limits. Raise yaml.YAMLError."""
    text = stream if isinstance(stream, str | bytes) else stream.read()
    _check_limits(text)
    try:
        return yaml.load(text, Loader=_LOADER)  # noqa: S506 - a safe one
    except (ValueError, OverflowError, RecursionError) as error:
        # An integer of too many digits, a date that is none.
        raise yaml.YAMLError(f"it has a value that can't be read: {error}") from error


class _Size:
    """What a value, with all that is in it, comes to once its aliases are followed."""

    def __init__(self, anchor: str | None) -> None:
        self.anchor = anchor
        self.values = 1
        self.characters = 0

    def add(self, other: "_Size") -> None:
        """Count what is in it. Raise DocumentLimitError."""
        self.values += other.values
        self.characters += other.characters
        if self.values > MAX_VALUES:
            raise DocumentLimitError(f"it stands for more than {MAX_VALUES} values")
        if self.characters > MAX_CHARACTERS:
            raise DocumentLimitError(f"it stands for more than {MAX_CHARACTERS} characters")


def _check_limits(text: str | bytes) -> None:
    """Count what a document stands for before anything is made of it.

    An alias repeats what its anchor names: ten lines of ten aliases each stand for ten billion
    values, and whatever looks at them all, as `str` does, never ends. Raise DocumentLimitError.
    """
    named: dict[str, _Size] = {}
    open_ones = [_Size(None)]
    for event in yaml.parse(text, Loader=_LOADER):
        if isinstance(event, yaml.CollectionStartEvent):
            if len(open_ones) > MAX_LEVELS:
                raise DocumentLimitError(f"it has more than {MAX_LEVELS} levels")
            open_ones.append(_Size(event.anchor))
        elif isinstance(event, yaml.CollectionEndEvent):
            done = open_ones.pop()
            open_ones[-1].add(done)
            if done.anchor:
                named[done.anchor] = done
        elif isinstance(event, yaml.ScalarEvent):
            scalar = _of_scalar(event)
            open_ones[-1].add(scalar)
            if scalar.anchor:
                named[scalar.anchor] = scalar
        elif isinstance(event, yaml.AliasEvent):
            if event.anchor not in named:
                raise DocumentLimitError("it has an alias of what it is within, or of nothing")
            open_ones[-1].add(named[event.anchor])


def _of_scalar(event: yaml.ScalarEvent) -> _Size:
    is_text = event.tag is None and not event.implicit[0]
    if len(event.value) > _MOST_DIGITS and not is_text and not event.value.strip(_OF_BASE_60):
        raise DocumentLimitError(f"it has a number of {len(event.value)} characters")
    scalar = _Size(event.anchor)
    scalar.characters = len(event.value)
    return scalar
