"""API_KEYS_FILE: a JSON document of keys, of which it has the hashes alone."""

import contextlib
import os
import re
import stat
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from hashlib import sha256
from pathlib import Path
from secrets import token_urlsafe
from typing import Annotated

import filelock
import msgspec
from msgspec import Meta

from service import windows
from service.access.principal import Principal, Scope
from service.core.redaction import redact
from service.core.text import presentable
from service.store.files import move, read_small

PREFIX = "hsk_"
"""How a key begins, so that it is known wherever it does not belong: in a log, in a repository."""
_RANDOM_BYTES = 32
_MOST_BYTES = 4_194_304
_LOCK_TIMEOUT_S = 10.0
_SHOWN = 300
_OWNERS_ALONE = stat.S_IRUSR | stat.S_IWUSR

_NAME = r"^[A-Za-z0-9][A-Za-z0-9._@-]{0,63}\Z"


class KeysFileError(Exception):
    """A file of keys that can't be used, in one sentence."""


class StoredKey(msgspec.Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    """A key as the file has it; `models` are those that it may use, None for all."""

    name: Annotated[str, Meta(pattern=_NAME)]
    sha256: Annotated[str, Meta(pattern=r"^[0-9a-f]{64}\Z")]
    scopes: Annotated[tuple[Scope, ...], Meta(min_length=1)]
    models: Annotated[tuple[str, ...], Meta(min_length=1)] | None = None
    created: datetime | None = None

    @property
    def principal(self) -> Principal:
        """Its bearer."""
        models = None if self.models is None else frozenset(self.models)
        return Principal(name=self.name, scopes=frozenset(self.scopes), models=models)


class _Document(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    keys: tuple[StoredKey, ...]


_decode = msgspec.json.Decoder(_Document).decode


def is_key_name(name: str) -> bool:
    """Tell whether a key may be called so."""
    return re.match(_NAME, name) is not None


def digest_of(key: str) -> str:
    """Return what the file has of a key. A key is random, so that a plain hash gives nothing."""
    return sha256(key.encode()).hexdigest()


def read_keys(file: Path) -> tuple[StoredKey, ...]:
    """Return the keys of a file, which may have none. Raise KeysFileError."""
    try:
        # The target, since secrets that are mounted are links.
        target = file.resolve(strict=True)
        content = read_small(target, _MOST_BYTES)
        if windows.has_owners() and target.stat().st_mode & stat.S_IWOTH:
            raise KeysFileError("everyone may write to it: chmod o-w")
    except (OSError, RuntimeError) as error:
        reason = getattr(error, "strerror", None) or str(error)
        raise KeysFileError(f"it can't be read ({reason})") from None
    try:
        keys = _decode(content).keys
    except (msgspec.MsgspecError, ValueError, RecursionError) as error:
        told = presentable(redact(str(error)), _SHOWN)
        raise KeysFileError(f"it is not as `hotswap key` writes it: {told}") from None
    for what, found in (("name", [k.name for k in keys]), ("hash", [k.sha256 for k in keys])):
        if len(set(found)) < len(found):
            raise KeysFileError(f"two of its keys have one {what}")
    return keys


def add_key(
    file: Path, name: str, scopes: tuple[Scope, ...], models: tuple[str, ...] | None
) -> str:
    """Add a new key and return it; it is nowhere else. Raise KeysFileError."""
    key = PREFIX + token_urlsafe(_RANDOM_BYTES)
    created = datetime.now(UTC).replace(microsecond=0)
    with _changing(file) as keys:
        if any(known.name == name for known in keys):
            raise KeysFileError(f"it has a key {name!r} already: revoke that, or take another name")
        keys.append(StoredKey(name, digest_of(key), scopes, models, created))
    return key


def revoke_key(file: Path, name: str) -> None:
    """Take a key out. Raise KeysFileError where there is none of this name."""
    with _changing(file) as keys:
        kept = [known for known in keys if known.name != name]
        if len(kept) == len(keys):
            raise KeysFileError(f"it has no key {name!r}")
        keys[:] = kept


@contextmanager
def _changing(file: Path) -> Iterator[list[StoredKey]]:
    """Give the keys of a file, and write what became of them; nobody else does meanwhile."""
    target = Path(os.path.realpath(file))
    lock = filelock.FileLock(target.with_name(f"{target.name}.lock"), mode=_OWNERS_ALONE)
    try:
        with lock.acquire(timeout=_LOCK_TIMEOUT_S):
            keys = list(read_keys(target)) if target.exists() else []
            yield keys
            _write(target, _Document(tuple(keys)))
    except filelock.Timeout:
        raise KeysFileError("somebody else is changing it") from None
    except OSError as error:
        raise KeysFileError(f"it can't be written ({error.strerror or error})") from None


def _write(target: Path, document: _Document) -> None:
    """Put a whole file in the place of another. A new one is its owner's alone.

    One that exists keeps its rights and its owner, as far as may be: the service may run as another
    user than the one that adds keys.
    """
    content = msgspec.json.format(msgspec.json.encode(document), indent=2) + b"\n"
    aside = target.with_name(f".{target.name}.{uuid.uuid4().hex}")
    try:
        opened = os.open(aside, os.O_WRONLY | os.O_CREAT | os.O_EXCL, _OWNERS_ALONE)
        with os.fdopen(opened, "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(opened)
        with contextlib.suppress(FileNotFoundError):
            before = target.stat()
            if windows.has_owners():
                with contextlib.suppress(PermissionError):
                    os.chown(aside, before.st_uid, before.st_gid)
            aside.chmod(stat.S_IMODE(before.st_mode))
        move(aside, target)
    finally:
        aside.unlink(missing_ok=True)
