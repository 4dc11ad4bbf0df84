"""Verify a stored version's signature; runs in a process of its own alone.

All that is asked of the library `model_signing` stands here and in `commands/sign`. It finds out
which manifest a key has signed. That is compared with the manifest that the version was stored
with, by which each worker checks the files again right before it loads them: so no file is read
here, and none can be another one by then.
"""

import contextlib
import tempfile
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any

import yaml
from cryptography.exceptions import InvalidSignature
from model_signing._signing.sign_ec_key import Verifier
from model_signing._signing.sign_sigstore_pb import Signature

from service.core.artifact_names import CLIENTS_NOTE, SIGNATURE
from service.core.errors import FetchFailedError, StoreCorruptError
from service.core.text import presentable
from service.registry.inside.limits import limit_memory
from service.settings.errors import SettingsError
from service.settings.public_keys import PublicKey, read_public_keys
from service.signing.inside.bundle import Bundle, UnreadableSignatureError, read_bundle
from service.signing.inside.coverage import difference
from service.signing.messages import VERIFY, VerifyReply, VerifyRequest
from service.store import manifest
from service.store.files import read_small

_MEMORY_BYTES = 1024 * 2**20
_NOTE_BYTES = 8_192
_SHA256 = "sha256"


class _NotSignedError(Exception):
    """Why a signature does not stand for a version."""


def operations(_: bytes) -> Mapping[str, tuple[type[Any], Callable[[Any], Any]]]:
    """Return what this process can be asked."""
    limit_memory(_MEMORY_BYTES)
    return {VERIFY: (VerifyRequest, verify)}


def verify(request: VerifyRequest) -> VerifyReply:
    """Find a signature by a trusted key over exactly the files that are stored.

    Raise FetchFailedError where the keys can't be read now, StoreCorruptError where the store is
    not what it was.
    """
    root = Path(request.path)
    recorded = manifest.read(root.parent / manifest.MANIFEST_NAME)
    if recorded.digest != request.digest:
        raise StoreCorruptError(f"the manifest of {root} is not the one that was recorded")
    try:
        keys = read_public_keys(Path(request.keys))
    except SettingsError as error:
        raise FetchFailedError(f"the keys of REQUIRE_SIGNED can't be used: {error}") from error
    refusal = ""
    for signature in request.signatures:
        try:
            bundle = read_bundle(Path(signature))
            key = _verify_one(bundle, keys, root, recorded, request)
        except FileNotFoundError:
            continue
        except (UnreadableSignatureError, _NotSignedError) as error:
            refusal = presentable(str(error))
        else:
            return VerifyReply(key.shown, signature, len(recorded.files))
    return VerifyReply(refusal=refusal)


def _verify_one(
    bundle: Bundle,
    keys: Iterable[PublicKey],
    root: Path,
    recorded: manifest.Manifest,
    request: VerifyRequest,
) -> PublicKey:
    """Return the trusted key that signed these files. Raise _NotSignedError."""
    key, signed = _signed(bundle, keys)
    links = (entry.path for entry in recorded.files if (root / entry.path).is_symlink())
    if (link := next(links, None)) is not None:
        raise _NotSignedError(f"{link} is a link, and none may be in a signed version")
    differs = difference(
        {entry.path: entry.sha256 for entry in recorded.files},
        signed,
        is_signature=lambda: _is_signature(root / SIGNATURE),
        is_clients_note=lambda: _is_clients_note(root / CLIENTS_NOTE, request),
    )
    if differs:
        raise _NotSignedError(f"{differs}; the signature is of {key.shown}")
    return key


def _signed(bundle: Bundle, keys: Iterable[PublicKey]) -> tuple[PublicKey, dict[str, str]]:
    """Return the trusted key that signed, and the digests that it signed, by path."""
    named = [key for key in keys if bundle.hint in {"", key.hint}]
    for key in named:
        with contextlib.suppress(InvalidSignature):
            return key, _signed_by(bundle, key)
    if bundle.hint and named:
        raise _NotSignedError(f"the signature names {named[0].shown}, which did not make it")
    of = f" (it names one whose PEM has the sha256 {bundle.hint})" if bundle.hint else ""
    raise _NotSignedError(f"its signature is of no key that is trusted here{of}")


def _signed_by(bundle: Bundle, key: PublicKey) -> dict[str, str]:
    """Return what a key has signed. Raise InvalidSignature where it has not."""
    with tempfile.TemporaryDirectory() as folder:
        pem, signature = Path(folder) / "key.pem", Path(folder) / SIGNATURE
        pem.write_bytes(key.pem)
        signature.write_bytes(bundle.encoded())
        try:
            signed = Verifier(pem).verify(Signature.read(signature))
        except (InvalidSignature, MemoryError):
            raise
        except Exception as error:
            # Whatever it raises for a file that others wrote, this is no good signature.
            raise _NotSignedError(
                f"the signature can't be read: {type(error).__name__}: {error}"
            ) from error
    digests: dict[str, str] = {}
    for file in signed.resource_descriptors():
        if file.digest.algorithm != _SHA256:
            raise _NotSignedError(
                f"it is signed by {file.digest.algorithm}: sign whole files by sha256, which is "
                "what `hotswap sign` and `model_signing sign key` do"
            )
        digests[file.identifier] = file.digest.digest_hex
    return digests


def _is_signature(file: Path) -> bool:
    try:
        read_bundle(file)
    except (UnreadableSignatureError, FileNotFoundError):
        return False
    return True


def _is_clients_note(file: Path, request: VerifyRequest) -> bool:
    """Tell whether a file is what MLflow's client writes of this version, to the byte."""
    note = {"model_name": request.name, "model_version": request.version}
    written = yaml.safe_dump(note, default_flow_style=False, allow_unicode=True)
    try:
        return read_small(file, _NOTE_BYTES) == written.encode()
    except OSError:
        return False
