"""Certificates that tests make for themselves: an authority, and what it signs."""

import datetime as dt
import ipaddress
import ssl
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

_DAY = dt.timedelta(days=1)


@dataclass(frozen=True)
class Made:
    """A certificate and its key, both as PEM."""

    certificate: x509.Certificate
    key: ec.EllipticCurvePrivateKey

    @property
    def chain_pem(self) -> bytes:
        """The certificate."""
        return self.certificate.public_bytes(serialization.Encoding.PEM)

    @property
    def key_pem(self) -> bytes:
        """The key, not encrypted."""
        return self.key_pem_with(serialization.NoEncryption())

    def key_pem_with(self, encryption: serialization.KeySerializationEncryption) -> bytes:
        """Return the key, encrypted so."""
        return self.key.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, encryption
        )

    @property
    def der(self) -> bytes:
        """The certificate as a handshake shows it."""
        return self.certificate.public_bytes(serialization.Encoding.DER)

    def write(self, certfile: Path, keyfile: Path) -> None:
        """Write both, each by one rename, the certificate first."""
        for file, content in ((certfile, self.chain_pem), (keyfile, self.key_pem)):
            beside = file.with_suffix(".new")
            beside.write_bytes(content)
            beside.replace(file)

    def client_context(self) -> ssl.SSLContext:
        """Return what trusts this authority alone."""
        return ssl.create_default_context(cadata=self.chain_pem.decode())


def make_authority(name: str = "authority of tests") -> Made:
    """Make one that signs itself."""
    return _make(name, None)


def make_certificate(authority: Made, name: str = "127.0.0.1", *, days: int = 30) -> Made:
    """Make one for an address or a name, with a new key; of less than 0 days it is over."""
    return _make(name, authority, days=days)


@cache
def the_authority() -> Made:
    """Return one that may be shared: nothing changes it."""
    return make_authority()


def _make(name: str, authority: Made | None, *, days: int = 30) -> Made:
    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
    issuer = authority.certificate.subject if authority else subject
    now = dt.datetime.now(dt.UTC)
    builder = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - 40 * _DAY)
        .not_valid_after(now + days * _DAY)
        .add_extension(x509.BasicConstraints(ca=authority is None, path_length=None), critical=True)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
    )
    signer = authority.key if authority else key
    builder = builder.add_extension(
        x509.AuthorityKeyIdentifier.from_issuer_public_key(signer.public_key()), critical=False
    )
    if authority is not None:
        builder = builder.add_extension(
            x509.SubjectAlternativeName([_general_name(name)]), critical=False
        )
    return Made(builder.sign(signer, hashes.SHA256()), key)


def _general_name(name: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ipaddress.ip_address(name))
    except ValueError:
        return x509.DNSName(name)
