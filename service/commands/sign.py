"""`hotswap sign`: sign a version's artifacts as the registry has them now, for REQUIRE_SIGNED.

This runs beside the service, never in it: the private key belongs to the signer.
"""

import shutil
import uuid
from importlib.util import find_spec
from pathlib import Path

import anyio
import anyio.to_thread
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    PublicFormat,
    load_pem_private_key,
)

from service.cache_dir import require_writable
from service.core.artifact_names import CLIENTS_NOTE, SIGNATURE
from service.core.errors import ServiceError
from service.core.versions import InvalidModelUriError, ModelRef
from service.credentials import NO_CREDENTIALS, Credentials
from service.platform import open_platform
from service.registry.address import RegistryAddress
from service.registry.messages import AddSignatureRequest, ResolveRequest
from service.settings.deployment import DeploymentSettings
from service.settings.errors import SettingsError
from service.settings.public_keys import PublicKey, read_public_key
from service.settings.service import ServiceSettings
from service.settings.texts import show

_NOT_SIGNED = (SIGNATURE, CLIENTS_NOTE)
"""The signature itself, and what MLflow's client adds to some downloads."""


class NotSignedError(ServiceError):
    """Why a version was not signed."""

    code = "not-signed"


async def sign_version(
    service: ServiceSettings,
    deployment: DeploymentSettings,
    uri: str,
    key_file: Path,
    credentials: Credentials = NO_CREDENTIALS,
) -> str:
    """Sign what a model URI means now, and put the signature where the service looks for it.

    Return a sentence that says what was done. Raise SettingsError for a wrong URI, key or setting,
    ServiceError where the registry or the artifact store does not let us.
    """
    try:
        ref = ModelRef.parse(uri)
    except InvalidModelUriError as error:
        raise SettingsError(str(error)) from None
    key = await anyio.to_thread.run_sync(_public_half, key_file)
    require_writable(service.cache_dir)
    async with open_platform(service, None, credentials) as platform:
        registry = platform.registry(RegistryAddress.of(deployment))
        version = (await registry.resolve(ResolveRequest(ref))).version
        if version is None:
            raise NotSignedError(f"the registry has nothing at {show(uri)}")
        folder = platform.temp_dir / f"sign-{uuid.uuid4().hex}"
        try:
            timeout_s = deployment.fetch_timeout_s
            root = await registry.fetch(version, folder / "model", timeout_s)
            signature = folder / SIGNATURE
            await anyio.to_thread.run_sync(_sign, root, key_file, signature)
            request = AddSignatureRequest(version, deployment.signatures_place, str(signature))
            reply = await registry.add_signature(request, timeout_s)
        finally:
            with anyio.CancelScope(shield=True):
                await anyio.to_thread.run_sync(lambda: shutil.rmtree(folder, ignore_errors=True))
    return (
        f"version {version.version} of {show(version.name)} is signed by {key.shown}: {reply.place}"
    )


def _public_half(key_file: Path) -> PublicKey:
    """Return the public half of a private key. Raise SettingsError where it can't be used."""
    if not all(map(find_spec, ("model_signing", "OpenSSL"))):
        raise SettingsError("to sign, install the extra: pip install 'mlflow-hotswap[signing]'")
    shown = f"--key {show(str(key_file))}"
    try:
        private = load_pem_private_key(key_file.read_bytes(), None)
    except OSError as error:
        raise SettingsError(f"{shown} can't be read: {error.strerror or error}") from None
    except TypeError:
        raise SettingsError(f"{shown} is encrypted: allowed is a key without a password") from None
    except (ValueError, UnsupportedAlgorithm):
        raise SettingsError(f"{shown} holds no private key in PEM") from None
    public = private.public_key()
    pem = public.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
    return read_public_key(pem, key_file.name)


def _sign(root: Path, key_file: Path, signature: Path) -> None:
    """Sign every file in a folder; here alone the library is imported. Raise NotSignedError."""
    from model_signing import hashing, signing  # noqa: PLC0415 - slow, and an extra

    # Without Git's files, which it leaves out unless told, an unsigned one would be refused.
    files = hashing.Config()  # type: ignore[no-untyped-call]
    files.set_ignored_paths(paths=_NOT_SIGNED, ignore_git_paths=False)
    signer = signing.Config()  # type: ignore[no-untyped-call]
    signer.use_elliptic_key_signer(private_key=key_file).set_hashing_config(files)
    try:
        signer.sign(root, signature)
    except (OSError, ValueError) as error:
        raise NotSignedError(f"its files can't be signed: {error}") from error
