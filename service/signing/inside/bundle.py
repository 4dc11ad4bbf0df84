"""A signature's file, read strictly: nothing is known of its author yet.

The library reads such files leniently and whole. What it gets is written anew, of the fields that
are read here.
"""

from pathlib import Path
from typing import Annotated

import msgspec

from service.store.files import read_small

MAX_BYTES = 16_000_000
"""A longer file is no signature: this is one of some hundred thousand files."""


class _PublicKey(msgspec.Struct, rename="camel"):
    hint: Annotated[str, msgspec.Meta(pattern=r"^[0-9a-f]{64}\Z")] | None = None


class _Material(msgspec.Struct, rename="camel"):
    public_key: _PublicKey


class _Signature(msgspec.Struct, rename="camel"):
    sig: str


class _Envelope(msgspec.Struct, rename="camel"):
    payload: str
    payload_type: str
    signatures: Annotated[list[_Signature], msgspec.Meta(min_length=1, max_length=1)]


class Bundle(msgspec.Struct, rename="camel"):
    """The fields of a Sigstore bundle that a signature by a key has."""

    media_type: str
    verification_material: _Material
    dsse_envelope: _Envelope

    @property
    def hint(self) -> str:
        """The name of the key that made it, '' where it names none."""
        return self.verification_material.public_key.hint or ""

    def encoded(self) -> bytes:
        """Return the bundle as JSON, with nothing that was not read."""
        return msgspec.json.encode(self)


class UnreadableSignatureError(Exception):
    """A file that is no signature by a key; its message says what it is instead."""


def read_bundle(file: Path) -> Bundle:
    """Read a signature's file.

    Raise UnreadableSignatureError for what is none, FileNotFoundError where there is no file.
    """
    try:
        content = read_small(file, MAX_BYTES)
    except FileNotFoundError:
        raise
    except OSError as error:
        raise UnreadableSignatureError(f"it can't be read: {error.strerror or error}") from error
    try:
        return msgspec.json.decode(content, type=Bundle)
    except (msgspec.MsgspecError, ValueError, RecursionError) as error:
        raise UnreadableSignatureError(
            f"it is no signature by a key in the model-signing format: {error}"
        ) from error
