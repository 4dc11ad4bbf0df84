"""The public keys that REQUIRE_SIGNED trusts, read from their PEM files.

Imported where that is set: what reads keys takes a while to import.
"""

import hashlib
from pathlib import Path

import msgspec
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.ec import EllipticCurvePublicKey
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    PublicFormat,
    load_pem_public_key,
)

from service.settings.errors import SettingsError
from service.settings.texts import show

_SUFFIXES = frozenset({".pem", ".pub"})
_MOST_BYTES = 65_536
_MOST_KEYS = 1_000
_CURVES = frozenset({"secp256r1", "secp384r1", "secp521r1"})
"""Those of the model-signing format."""
_BEGIN = b"-----BEGIN "


class PublicKey(msgspec.Struct, frozen=True):
    """One trusted key, by its file's name."""

    name: str
    pem: bytes
    fingerprint: str
    """The sha256 of the key in DER, in hex: what `openssl pkey -pubin -outform DER | sha256sum`
    prints."""

    @property
    def hint(self) -> str:
        """The name by which a signature refers to its key: the sha256 of the PEM text, in hex."""
        return hashlib.sha256(self.pem).hexdigest()

    @property
    def shown(self) -> str:
        """The key as people see it."""
        return f"{show(self.name)} (sha256:{self.fingerprint})"


def read_public_keys(place: Path) -> tuple[PublicKey, ...]:
    """Return the keys of a folder, none where it has none, or that of a file. Reads from the disk.

    Of a folder the files that end with .pem or .pub count.

    Raises:
        SettingsError: it can't be read, or one of them is no public key; says which.
    """
    try:
        if not place.is_dir():
            return (_read(place),)
        files = sorted(
            file
            for file in place.iterdir()
            if file.suffix in _SUFFIXES and not file.name.startswith(".")
        )
        if len(files) > _MOST_KEYS:
            raise SettingsError(f"{show(str(place))} holds more than {_MOST_KEYS} keys")
        return tuple(_read(file) for file in files)
    except OSError as error:
        where = show(str(error.filename or place))
        raise SettingsError(f"{where} can't be read: {error.strerror or error}") from None


def read_public_key(content: bytes, name: str) -> PublicKey:
    """Return the key that a PEM text holds. Raise SettingsError where it holds none that is known.

    A private key is refused: what verifies needs none, and what runs here could read it.
    """
    shown = show(name)
    if b"PRIVATE KEY-----" in content:
        raise SettingsError(f"{shown} holds a private key, which belongs to the signer alone")
    if content.count(_BEGIN) != 1:
        raise SettingsError(f"{shown} does not hold one public key in PEM")
    try:
        key = load_pem_public_key(content)
    except (ValueError, UnsupportedAlgorithm):
        raise SettingsError(f"{shown} does not hold one public key in PEM") from None
    if not isinstance(key, EllipticCurvePublicKey) or key.curve.name not in _CURVES:
        raise SettingsError(f"{shown} is no key on one of the curves P-256, P-384 and P-521")
    subject = PublicFormat.SubjectPublicKeyInfo
    return PublicKey(
        name,
        key.public_bytes(Encoding.PEM, subject),
        hashlib.sha256(key.public_bytes(Encoding.DER, subject)).hexdigest(),
    )


def _read(file: Path) -> PublicKey:
    if file.exists() and not file.is_file():
        # A pipe would be waited for, for ever.
        raise SettingsError(f"{show(file.name)} is no regular file")
    with file.open("rb") as opened:
        content = opened.read(_MOST_BYTES + 1)
    if len(content) > _MOST_BYTES:
        raise SettingsError(f"{show(file.name)} is no key: it has more than {_MOST_BYTES} bytes")
    return read_public_key(content, file.name)
