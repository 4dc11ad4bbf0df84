import base64
import hashlib
import os
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from service.settings import deployment
from service.settings.deployment import DeploymentSettings
from service.settings.environment import load_settings
from service.settings.errors import SettingsError
from service.settings.models import read_models_file
from service.settings.public_keys import read_public_keys
from tests.support.signed import Signer


def pem(key: ec.EllipticCurvePublicKey | rsa.RSAPublicKey | ed25519.Ed25519PublicKey) -> bytes:
    """Write a public key."""
    return key.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)


@pytest.fixture
def signer(tmp_path: Path) -> Signer:
    """Give a signer."""
    return Signer(tmp_path, "ci")


def test_a_folder_has_a_key_in_each_pem_file(signer: Signer) -> None:
    """Other files, and hidden ones, are none; a link counts as what it leads to."""
    folder = signer.trusted
    (folder / "README.md").write_text("keys")
    (folder / ".hidden.pem").write_text("no key")
    (folder / "linked.pub").symlink_to("ci.pem")
    assert [key.name for key in read_public_keys(folder)] == ["ci.pem", "linked.pub"]
    assert read_public_keys(signer.public) == read_public_keys(folder)[:1]


def test_a_fingerprint_is_that_of_the_key_in_der(signer: Signer) -> None:
    """As other tools have it, so that people can compare them."""
    [key] = read_public_keys(signer.public)
    der = base64.b64decode("".join(signer.public.read_text().splitlines()[1:-1]))
    assert key.fingerprint == hashlib.sha256(der).hexdigest()
    assert key.shown == f"ci.pem (sha256:{key.fingerprint})"


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"", "does not hold one public key in PEM"),
        (b"-----BEGIN PUBLIC KEY-----\nAAAA\n-----END PUBLIC KEY-----\n", "does not hold one"),
        (pem(ec.generate_private_key(ec.SECP256K1()).public_key()), "on one of the curves"),
        (pem(ed25519.Ed25519PrivateKey.generate().public_key()), "on one of the curves"),
        (b"x" * 65_537, "more than 65536 bytes"),
    ],
    ids=["empty", "damaged", "another curve", "no curve", "huge"],
)
def test_what_is_no_key_is_told_by_its_file(signer: Signer, content: bytes, reason: str) -> None:
    """One wrong file makes the folder wrong: it may be the key that was meant."""
    (signer.trusted / "other.pem").write_bytes(content)
    with pytest.raises(SettingsError, match=rf"other\.pem .*{reason}"):
        read_public_keys(signer.trusted)


def test_two_keys_in_a_file_and_a_private_one_are_wrong(signer: Signer) -> None:
    """The first would be a key that nobody reads, the second one that everybody could."""
    two = signer.trusted / "two.pem"
    two.write_bytes(2 * signer.public.read_bytes())
    with pytest.raises(SettingsError, match=r"two\.pem does not hold one public key"):
        read_public_keys(signer.trusted)
    two.write_bytes(signer.private.read_bytes())
    with pytest.raises(SettingsError, match="belongs to the signer alone"):
        read_public_keys(signer.trusted)


def test_a_pipe_is_not_waited_for(signer: Signer) -> None:
    """Nothing may hold up a start."""
    os.mkfifo(signer.trusted / "pipe.pem")
    with pytest.raises(SettingsError, match="no regular file"):
        read_public_keys(signer.trusted)


def test_a_place_without_keys_is_a_wrong_setting(tmp_path: Path) -> None:
    """Missing, or empty: one sentence each, at the start."""
    with pytest.raises(SettingsError, match=r"^REQUIRE_SIGNED=.*can't be read: No such file"):
        load_settings({"REQUIRE_SIGNED": str(tmp_path / "nowhere")})
    with pytest.raises(SettingsError, match=r"^REQUIRE_SIGNED=.*holds no key"):
        load_settings({"REQUIRE_SIGNED": str(tmp_path)})


def test_without_the_extra_the_setting_is_wrong(
    signer: Signer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """And says what to install."""
    monkeypatch.setattr(deployment, "find_spec", lambda _: None)
    with pytest.raises(SettingsError, match=r"pip install 'mlflow-hotswap\[signing\]'"):
        load_settings({"REQUIRE_SIGNED": str(signer.trusted)})


def test_models_may_each_have_their_keys(signer: Signer, tmp_path: Path) -> None:
    """And one of them none."""
    file = tmp_path / "models.toml"
    file.write_text(
        '[models.a]\nuri = "models:/a@x"\n[models.b]\nuri = "models:/b@x"\nrequire_signed = ""\n'
    )
    found = read_models_file(file, DeploymentSettings(require_signed=str(signer.trusted)))
    assert found["a"].trusted_keys == signer.trusted
    assert found["b"].trusted_keys is None
    file.write_text('[models.a]\nuri = "models:/a@x"\nrequire_signed = "/nowhere"\n')
    with pytest.raises(SettingsError, match=r"\[models.a\]: REQUIRE_SIGNED=/nowhere is wrong"):
        read_models_file(file, DeploymentSettings())


def test_places_are_meant_from_where_the_service_was_started() -> None:
    """Not from where one of its processes runs."""
    settings = DeploymentSettings(require_signed="keys", signatures_uri="signatures")
    assert settings.trusted_keys == Path.cwd() / "keys"
    assert settings.signatures_place == str(Path.cwd() / "signatures")
    for uri in ("s3://bucket/a", "mlflow-artifacts:/a", ""):
        assert DeploymentSettings(signatures_uri=uri).signatures_place == uri
