"""`hotswap key`: make, list and revoke the keys of API_KEYS_FILE."""

from collections.abc import Sequence
from pathlib import Path

from service.access.keys_file import (
    KeysFileError,
    StoredKey,
    add_key,
    is_key_name,
    read_keys,
    revoke_key,
)
from service.access.principal import Scope
from service.core.text import presentable
from service.core.versions import is_model_name

_ALL = "every model"


class KeyCommandError(Exception):
    """A command that can't be done, in one sentence."""


def new_key(file: Path, name: str, scopes: Sequence[str], models: Sequence[str]) -> tuple[str, str]:
    """Add a key; return it, and a sentence on what it is for. Raise KeyCommandError."""
    if not is_key_name(name):
        raise KeyCommandError(
            "a key's name has 1 to 64 letters, digits, '.', '_', '-' and '@', and begins with a "
            "letter or digit"
        )
    for model in models:
        if not is_model_name(model):
            raise KeyCommandError(f"no model can be called {presentable(model, 80)!r}")
    chosen = tuple(Scope(scope) for scope in dict.fromkeys(scopes))
    only = tuple(dict.fromkeys(models)) or None
    try:
        key = add_key(file, name, chosen, only)
    except KeysFileError as error:
        raise KeyCommandError(f"{file}: {error}") from None
    what = f"{' and '.join(chosen)}, {', '.join(only) if only else _ALL}"
    return key, f"the key {name} ({what}) is in {file} by its hash alone: it is shown this once"


def listed_keys(file: Path) -> list[str]:
    """Return a line for each key, under a line of titles. Raise KeyCommandError."""
    try:
        keys = read_keys(file)
    except KeysFileError as error:
        raise KeyCommandError(f"{file}: {error}") from None
    rows = [("NAME", "SCOPES", "MODELS", "CREATED"), *map(_row, keys)]
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return [
        "  ".join(f"{cell:{width}}" for cell, width in zip(row, widths, strict=True)).rstrip()
        for row in rows
    ]


def revoke(file: Path, name: str) -> str:
    """Take a key out of the file, and return a sentence. Raise KeyCommandError."""
    try:
        revoke_key(file, name)
    except KeysFileError as error:
        raise KeyCommandError(f"{file}: {error}") from None
    return f"the key {name} is revoked: a service that runs goes by that within two seconds"


def _row(key: StoredKey) -> tuple[str, str, str, str]:
    models = _ALL if key.models is None else ", ".join(presentable(m, 80) for m in key.models)
    created = key.created.date().isoformat() if key.created else "-"
    return key.name, ", ".join(key.scopes), models, created
