"""The verifying process's work, on real keys and signatures."""

import base64
import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml
from cryptography.hazmat.primitives.asymmetric import ec

from service.core.errors import FetchFailedError, StoreCorruptError
from service.core.versions import StoredVersion
from service.signing.inside import bundle
from service.signing.inside.verifying import verify
from service.signing.messages import VerifyReply
from tests.support.fake_source import a_version
from tests.support.signed import FILES, Signer, request_for, stored, written

CURVES = [ec.SECP256R1(), ec.SECP384R1(), ec.SECP521R1()]


@pytest.fixture(scope="module")
def signer(tmp_path_factory: pytest.TempPathFactory) -> Signer:
    """Give a signer whom these tests trust."""
    return Signer(tmp_path_factory.mktemp("keys"), "ci")


@pytest.fixture(scope="module")
def other(tmp_path_factory: pytest.TempPathFactory) -> Signer:
    """Give one whom they don't."""
    return Signer(tmp_path_factory.mktemp("other"), "other")


@pytest.fixture
def signed(signer: Signer, tmp_path: Path) -> Path:
    """Give what was fetched of a version that is signed."""
    root = written(tmp_path / "aside" / "fetched", FILES)
    signer.sign(root, root / "model.sig")
    return root


def verdict(root: Path, keys: Path) -> VerifyReply:
    """Store what is in a folder, and verify it."""
    return verify(request_for(stored(root, root.parent / "version"), keys))


def rewrite(signature: Path, change: Callable[[Any], None]) -> None:
    """Change a signature's JSON."""
    document = json.loads(signature.read_text())
    change(document)
    signature.write_text(json.dumps(document))


@pytest.mark.parametrize("curve", CURVES, ids=lambda curve: curve.name)
def test_what_the_library_signs_is_good(tmp_path: Path, curve: ec.EllipticCurve) -> None:
    """By each curve of the format; the key is named."""
    signer = Signer(tmp_path / "keys", "ci", curve)
    root = written(tmp_path / "fetched", FILES)
    signer.sign(root, root / "model.sig")
    reply = verdict(root, signer.trusted)
    assert reply.signed_by.startswith("ci.pem (sha256:")
    assert (reply.files, reply.refusal) == (len(FILES) + 1, "")


def test_nothing_is_good_without_a_signature(signer: Signer, tmp_path: Path) -> None:
    """And no reason is given for what is not there."""
    reply = verdict(written(tmp_path / "fetched", FILES), signer.trusted)
    assert reply == VerifyReply()


def _change(root: Path) -> None:
    (root / "model.pkl").write_text("pickleD")


def _lose(root: Path) -> None:
    (root / "code" / "rules.py").unlink()


def _add(root: Path) -> None:
    (root / "code" / "more.py").write_text("import os")


def _add_to_git(root: Path) -> None:
    written(root, {".git/hooks.py": "import os"})


def _swap(root: Path) -> None:
    (root / "code" / "rules.py").rename(root / "aside")
    (root / "model.pkl").rename(root / "code" / "rules.py")
    (root / "aside").rename(root / "model.pkl")


def _link(root: Path) -> None:
    (root / "model.pkl").rename(root / "elsewhere")
    (root / "model.pkl").symlink_to("elsewhere")


def _note_with_code(root: Path) -> None:
    (root / "registered_model_meta").write_text("import os")


def _signature_in_a_folder(root: Path) -> None:
    shutil.copy(root / "model.sig", root / "code" / "model.sig")


@pytest.mark.parametrize(
    ("attack", "reason"),
    [
        (_change, "model.pkl is not as it was signed"),
        (_lose, "code/rules.py is signed, and is not there"),
        (_add, "code/more.py is not signed"),
        (_add_to_git, ".git/hooks.py is not signed"),
        (_swap, "code/rules.py is not as it was signed"),
        (_link, "model.pkl is a link"),
        (_note_with_code, "registered_model_meta is not signed, and is not what the name says"),
        (_signature_in_a_folder, "code/model.sig is not signed"),
    ],
)
def test_what_differs_from_what_was_signed_is_refused(
    signer: Signer, signed: Path, attack: Callable[[Path], None], reason: str
) -> None:
    """The first file that differs is named, and the key that signed the others."""
    attack(signed)
    reply = verdict(signed, signer.trusted)
    assert reply.signed_by == ""
    assert reply.refusal.startswith(reason)


def test_a_link_to_a_file_of_the_same_content_is_refused(signer: Signer, tmp_path: Path) -> None:
    """Its content is signed, but it could be given another one without being written to."""
    root = written(tmp_path / "aside" / "fetched", {"a": "1", "b": "1"})
    signer.sign(root, root / "model.sig")
    (root / "b").unlink()
    (root / "b").symlink_to("a")
    assert verdict(root, signer.trusted).refusal.startswith("b is a link")


def test_another_key_is_refused(signed: Path, signer: Signer, other: Signer) -> None:
    """However well it has signed."""
    other.sign(signed, signed / "model.sig")
    assert "of no key that is trusted here" in verdict(signed, signer.trusted).refusal


def test_a_key_that_claims_to_be_another_is_refused(
    signed: Path, signer: Signer, other: Signer
) -> None:
    """The name of a key in a signature proves nothing."""
    hint = json.loads((signed / "model.sig").read_text())["verificationMaterial"]
    other.sign(signed, signed / "model.sig")
    rewrite(signed / "model.sig", lambda found: found.update(verificationMaterial=hint))
    assert "which did not make it" in verdict(signed, signer.trusted).refusal


def test_a_signature_over_other_files_is_refused(
    signed: Path, signer: Signer, tmp_path: Path
) -> None:
    """One that is good for another version says nothing of this one."""
    root = written(tmp_path / "another", {**FILES, "model.pkl": "of version 2"})
    signer.sign(root, signed / "model.sig")
    assert verdict(signed, signer.trusted).refusal.startswith("model.pkl is not as it was signed")


def _without_hint(document: Any) -> None:
    document["verificationMaterial"]["publicKey"] = {}


def _another_payload(document: Any) -> None:
    envelope = document["dsseEnvelope"]
    statement = json.loads(base64.b64decode(envelope["payload"]))
    statement["predicate"]["resources"].pop()
    envelope["payload"] = base64.b64encode(json.dumps(statement).encode()).decode()


def _another_type(document: Any) -> None:
    document["dsseEnvelope"]["payloadType"] = "text/html"


def _another_form(document: Any) -> None:
    document["mediaType"] = "application/vnd.dev.sigstore.bundle+json;version=0.1"


def _no_base64(document: Any) -> None:
    document["dsseEnvelope"]["payload"] = "~"


def _no_signature(document: Any) -> None:
    document["dsseEnvelope"]["signatures"] = []


def _two_signatures(document: Any) -> None:
    document["dsseEnvelope"]["signatures"] *= 2


def _numbers(document: Any) -> None:
    document["dsseEnvelope"] = 7


def _certificate(document: Any) -> None:
    document["verificationMaterial"] = {"x509CertificateChain": {"certificates": []}}


@pytest.mark.parametrize(
    "change",
    [
        _another_payload,
        _another_type,
        _another_form,
        _no_base64,
        _no_signature,
        _two_signatures,
        _numbers,
        _certificate,
    ],
)
def test_a_signature_that_was_tampered_with_is_refused(
    signed: Path, signer: Signer, change: Callable[[Any], None]
) -> None:
    """Whatever was changed in it, there is a reason and no traceback."""
    rewrite(signed / "model.sig", change)
    reply = verdict(signed, signer.trusted)
    assert (reply.signed_by, bool(reply.refusal)) == ("", True)


def test_a_signature_that_names_no_key_is_tried_by_each(
    signed: Path, signer: Signer, other: Signer, tmp_path: Path
) -> None:
    """As those of the format's first versions are."""
    rewrite(signed / "model.sig", _without_hint)
    keys = tmp_path / "keys"
    shutil.copytree(other.trusted, keys)
    shutil.copy(signer.public, keys / "z.pem")
    assert verdict(signed, keys).signed_by.startswith("z.pem")


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"{",
        b"\xff\xfe",
        b"[" * 1_000_000,
        b'{"mediaType": ' + b"[" * 1_000_000,
        b"{" + b'"a": [' * 200_000,
        b"null",
        b'{"x": "' + b"a" * bundle.MAX_BYTES + b'"}',
    ],
    ids=["empty", "cut", "bytes", "deep", "deep in a field", "deep in others", "null", "huge"],
)
def test_what_is_no_signature_is_refused(signed: Path, signer: Signer, content: bytes) -> None:
    """However long it is, and however deep."""
    (signed / "model.sig").write_bytes(content)
    reply = verdict(signed, signer.trusted)
    assert reply.signed_by == ""
    assert "it is no signature by a key" in reply.refusal or "it can't be read" in reply.refusal


def test_a_link_in_place_of_a_signature_is_refused(
    signed: Path, signer: Signer, tmp_path: Path
) -> None:
    """It could lead anywhere."""
    version = stored(signed, signed.parent / "version")
    (tmp_path / "link.sig").symlink_to(version.path / "model.sig")
    reply = verify(request_for(version, signer.trusted, tmp_path / "link.sig"))
    assert "no regular file" in reply.refusal


@pytest.mark.parametrize(
    "payload",
    [b"[]", b"{}", b'"text"', b"[" * 100_000, b'{"_type": 1, "subject": 2}'],
    ids=["list", "empty", "text", "deep", "other"],
)
def test_a_statement_that_is_none_of_a_model_is_refused(
    signed: Path, signer: Signer, payload: bytes
) -> None:
    """A trusted key may sign other things, in other formats."""
    made = signer.sign_bytes(b"DSSEv1 28 application/vnd.in-toto+json %d " % len(payload) + payload)

    def put(document: Any) -> None:
        document["dsseEnvelope"]["payload"] = base64.b64encode(payload).decode()
        document["dsseEnvelope"]["signatures"][0]["sig"] = base64.b64encode(made).decode()

    rewrite(signed / "model.sig", put)
    assert "the signature can't be read" in verdict(signed, signer.trusted).refusal


@pytest.mark.parametrize("algorithm", ["blake2", "blake3"])
def test_another_hash_is_refused_with_what_to_do(
    signer: Signer, tmp_path: Path, algorithm: str
) -> None:
    """The store's manifest has sha256 alone."""
    root = written(tmp_path / "aside" / "fetched", FILES)
    signer.sign(root, root / "model.sig", hashing_algorithm=algorithm)
    assert "sign whole files by sha256" in verdict(root, signer.trusted).refusal


def test_what_mlflows_client_notes_in_a_download_needs_no_signature(
    signed: Path, signer: Signer
) -> None:
    """To the byte, of this version."""
    note = {"model_name": a_version(1).name, "model_version": "1"}
    (signed / "registered_model_meta").write_text(yaml.safe_dump(note))
    assert verdict(signed, signer.trusted).signed_by


def test_what_the_signer_saw_of_such_a_note_need_not_be_there(
    signer: Signer, tmp_path: Path
) -> None:
    """Its download had one, and this one has none."""
    root = written(tmp_path / "aside" / "fetched", {**FILES, "registered_model_meta": "any"})
    signer.sign(root, root / "model.sig")
    (root / "registered_model_meta").unlink()
    assert verdict(root, signer.trusted).signed_by


def test_a_signature_hides_no_code(signed: Path, signer: Signer, tmp_path: Path) -> None:
    """What lies there unsigned as `model.sig` is a signature, if not the one that is good."""
    good = tmp_path / "good.sig"
    shutil.copy(signed / "model.sig", good)
    copied = shutil.copytree(signed, tmp_path / "second" / "fetched")
    (signed / "model.sig").write_text("import os")
    version = stored(signed, signed.parent / "version")
    refusal = verify(request_for(version, signer.trusted, good)).refusal
    assert refusal.startswith("model.sig is not signed, and is not what the name says")
    rewrite(copied / "model.sig", _another_payload)
    version = stored(copied, copied.parent / "version")
    assert verify(request_for(version, signer.trusted, good)).signed_by


def test_the_first_good_one_of_several_signatures_counts(
    signed: Path, signer: Signer, other: Signer, tmp_path: Path
) -> None:
    """One that is bad, or missing, is passed over."""
    version = stored(signed, signed.parent / "version")
    bad = tmp_path / "bad.sig"
    other.sign(version.path, bad)
    good = version.path / "model.sig"
    reply = verify(request_for(version, signer.trusted, tmp_path / "none.sig", bad, good))
    assert (reply.signature, reply.refusal) == (str(good), "")


def test_the_keys_are_read_each_time(signed: Path, signer: Signer, tmp_path: Path) -> None:
    """One that is taken away counts no more; a folder that can't be read says nothing."""
    version = stored(signed, signed.parent / "version")
    keys = shutil.copytree(signer.trusted, tmp_path / "keys")
    assert verify(request_for(version, keys)).signed_by
    (keys / "ci.pem").unlink()
    assert "of no key that is trusted here" in verify(request_for(version, keys)).refusal
    (keys / "half.pem").write_text("-----BEGIN PUBLIC KEY-----")
    with pytest.raises(FetchFailedError, match=r"half\.pem does not hold one public key"):
        verify(request_for(version, keys))
    shutil.rmtree(keys)
    with pytest.raises(FetchFailedError, match="can't be read"):
        verify(request_for(version, keys))


def test_another_manifest_than_the_recorded_one_is_no_verdict(signed: Path, signer: Signer) -> None:
    """The store is damaged, and fetches the version again."""
    version = stored(signed, signed.parent / "version")
    damaged = StoredVersion(version.version, version.path, "0" * 64)
    with pytest.raises(StoreCorruptError):
        verify(request_for(damaged, signer.trusted))
