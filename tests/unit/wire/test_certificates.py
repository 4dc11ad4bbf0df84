"""Certificates and keys as files have them, and what becomes of files that change."""

import os
from pathlib import Path

import pytest
from cryptography.hazmat.primitives import serialization

from service.wire.certificates import CertificateError, Certificates, leaf_of, load_pair
from tests.support.made_certificates import make_certificate, the_authority

pytestmark = pytest.mark.skipif(os.name != "posix", reason="makes a pipe")


@pytest.fixture
def files(tmp_path: Path) -> tuple[Path, Path]:
    """Write a pair, and return where."""
    pair = tmp_path / "tls.crt", tmp_path / "tls.key"
    make_certificate(the_authority()).write(*pair)
    return pair


def test_a_certificate_and_its_key_may_stand_in_one_file(tmp_path: Path) -> None:
    """In either order."""
    made, both = make_certificate(the_authority()), tmp_path / "both.pem"
    for content in (made.chain_pem + made.key_pem, made.key_pem + made.chain_pem):
        both.write_bytes(content)
        assert leaf_of(load_pair(both, both).chain.decode()) == made.der


def test_what_can_not_be_used_is_said(files: tuple[Path, Path], tmp_path: Path) -> None:
    """An encrypted key too, for which OpenSSL would ask on the terminal."""
    certfile, keyfile = files
    made = make_certificate(the_authority())
    wrong = tmp_path / "wrong"
    secret = serialization.BestAvailableEncryption(b"secret")
    for content, told in (
        (made.key_pem, "the key is not the certificate's"),
        (made.key_pem_with(secret), "the key is encrypted"),
        (b"", "as PEM"),
        (b"\xff" * 100, "as PEM"),
        (made.key_pem[:80], "as PEM"),
        (b"x" * 2_000_000, "over 1048576 bytes"),
    ):
        wrong.write_bytes(content)
        with pytest.raises(CertificateError, match=told):
            load_pair(certfile, wrong)
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    for file, told in ((pipe, "no file"), (tmp_path, "no file"), (tmp_path / "none", "No such")):
        with pytest.raises(CertificateError, match=told):
            load_pair(file, keyfile)


async def test_a_pair_is_taken_once_both_files_have_it(files: tuple[Path, Path]) -> None:
    """Meanwhile, and for as long as one of them is broken, the one before stays in use."""
    certfile, keyfile = files
    certificates = Certificates(*files)
    before = certificates.current
    await certificates.look()
    assert certificates.current is before
    made = make_certificate(the_authority())
    for broken in (made.chain_pem[:200], b"", made.chain_pem):
        certfile.write_bytes(broken)
        await certificates.look()
        assert certificates.current is before
        assert "SSL_CERTFILE" in certificates.trouble
    certfile.unlink()
    await certificates.look()
    assert "can't be read" in certificates.trouble
    made.write(certfile, keyfile)
    await certificates.look()
    assert leaf_of(certificates.current.chain.decode()) == made.der
    assert certificates.current.key == made.key_pem
    assert certificates.trouble == ""


async def test_a_link_counts_as_what_it_leads_to(tmp_path: Path) -> None:
    """As a secret that Kubernetes mounts is changed: by one link, for both files together."""
    for name in ("old", "new"):
        (tmp_path / name).mkdir()
        make_certificate(the_authority()).write(tmp_path / name / "c", tmp_path / name / "k")
    current = tmp_path / "current"
    current.symlink_to("old")
    certificates = Certificates(current / "c", current / "k")
    (tmp_path / "next").symlink_to("new")
    (tmp_path / "next").replace(current)
    await certificates.look()
    assert certificates.current.chain == (tmp_path / "new" / "c").read_bytes()
