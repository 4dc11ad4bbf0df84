"""Keys, versions by hand, and signatures by the library whose format it is."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
)
from model_signing import hashing, signing

from service.core.versions import StoredVersion
from service.signing.messages import VerifyRequest
from service.store import files
from tests.support.fake_source import a_version

FILES = {"MLmodel": "flavors: {}", "model.pkl": "pickled", "code/rules.py": "RULES = 1"}


class Signer:
    """A private key in a file, and the public one in a folder that trusts it."""

    def __init__(self, folder: Path, name: str, curve: ec.EllipticCurve | None = None) -> None:
        private = self._key = ec.generate_private_key(curve or ec.SECP256R1())
        folder.mkdir(parents=True, exist_ok=True)
        self.private = folder / f"{name}.key"
        self.private.write_bytes(
            private.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
        )
        self.trusted = folder / f"{name}-trusted"
        self.trusted.mkdir()
        self.public = self.trusted / f"{name}.pem"
        self.public.write_bytes(
            private.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
        )

    def sign_bytes(self, content: bytes) -> bytes:
        """Sign any bytes."""
        return self._key.sign(content, ec.ECDSA(hashes.SHA256()))

    def sign(self, root: Path, signature: Path, **hashed: Any) -> None:
        """Sign a folder as `model_signing sign key` does; `hashed` says how it is hashed."""
        how = hashing.Config()  # type: ignore[no-untyped-call]
        how.use_file_serialization(**hashed)
        how.set_ignored_paths(paths=["model.sig"])
        signer = signing.Config()  # type: ignore[no-untyped-call]
        signer.use_elliptic_key_signer(private_key=self.private).set_hashing_config(how)
        signer.sign(root, signature)


def written(root: Path, contents: Mapping[str, str]) -> Path:
    """Write files below a folder."""
    for path, content in contents.items():
        (root / path).parent.mkdir(parents=True, exist_ok=True)
        (root / path).write_text(content)
    return root


def stored(fetched: Path, folder: Path) -> StoredVersion:
    """Store what is in a folder, as the store does with what was fetched."""
    version = a_version(1)
    digest = files.record(fetched, folder, version)
    return StoredVersion(version, folder / "model", digest)


def request_for(version: StoredVersion, keys: Path, *signatures: Path) -> VerifyRequest:
    """Ask for a version's verification, by the signature beside its files if by no other."""
    return VerifyRequest(
        path=str(version.path),
        digest=version.digest,
        name=version.version.name,
        version=version.version.version,
        keys=str(keys),
        signatures=tuple(map(str, signatures or (version.path / "model.sig",))),
    )
