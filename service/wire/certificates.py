"""The certificate that callers are shown, and its key: read from files, and again as these change.

A pair is read and tried in a thread, and taken into use by one assignment: a connection shakes
hands with one whole pair, the one before or the one after.
"""

import hashlib
import ssl
import stat
from contextlib import AbstractAsyncContextManager
from pathlib import Path
from typing import NoReturn

import anyio.to_thread
import msgspec
import structlog

from service.settings.followed import followed

_LARGEST_FILE_BYTES = 1_048_576
_NOT_PEM = "no certificate and its key stand in them as PEM"

_log = structlog.get_logger("certificates")


class CertificateError(Exception):
    """A certificate that can't be used, or its key, in half a sentence."""


class Pair(msgspec.Struct, frozen=True):
    """A certificate with those below its authority's, and its key: both as PEM, and as a context.

    New connections take the context; one that is open keeps what it began with.
    """

    chain: bytes
    key: bytes
    context: ssl.SSLContext

    @property
    def fingerprint(self) -> str:
        """The certificate's SHA-256, as `openssl x509 -fingerprint -sha256` has it in capitals."""
        return hashlib.sha256(leaf_of(self.chain.decode("latin-1"))).hexdigest()


class Certificates:
    """The pair that is in use. `followed` reads the files again whenever they change meanwhile.

    `keyfile` may be the file of the certificate. Raise CertificateError where there is none to
    begin with.
    """

    def __init__(self, certfile: Path, keyfile: Path) -> None:
        self._files = certfile, keyfile
        self.current = load_pair(certfile, keyfile)
        self.trouble = ""
        """Why what the files have now is not in use; '' where it is."""

    def followed(self) -> AbstractAsyncContextManager[None]:
        """Look at the files meanwhile."""
        return followed("SSL_CERTFILE", self.look)

    async def look(self) -> None:
        """Take what the files have now, where that is another pair and a whole one."""
        try:
            pair = await anyio.to_thread.run_sync(_changed, *self._files, self.current)
        except CertificateError as error:
            trouble = f"the files of SSL_CERTFILE can't be used, those before still are: {error}"
            if trouble != self.trouble:
                _log.error("certificate is not in use", reason=str(error))
            self.trouble = trouble
            return
        if pair is not None:
            self.current = pair
        if pair is not None or self.trouble:
            _log.info("certificate is in use", sha256=self.current.fingerprint)
        self.trouble = ""


def load_pair(certfile: Path, keyfile: Path) -> Pair:
    """Read a certificate and its key, and try them. Raise CertificateError."""
    before = _read(certfile), _read(keyfile)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.options |= ssl.OP_NO_RENEGOTIATION
    context.set_alpn_protocols(["http/1.1"])
    try:
        context.load_cert_chain(certfile, keyfile, password=_no_password)
    except ssl.SSLError as error:
        is_others = error.reason == "KEY_VALUES_MISMATCH"
        why = "the key is not the certificate's" if is_others else _NOT_PEM
        raise CertificateError(why) from None
    except OSError as error:
        raise CertificateError(f"{error.strerror}") from None
    # OpenSSL has read them by itself: what is written meanwhile is seen at the next look.
    if (_read(certfile), _read(keyfile)) != before:
        raise CertificateError("they change while they are read")
    return Pair(*before, context)


def leaf_of(chain: str) -> bytes:
    """Return the first certificate of a PEM text. Raise ValueError where it has none."""
    begin, end = ssl.PEM_HEADER, ssl.PEM_FOOTER
    start = chain.index(begin)
    return ssl.PEM_cert_to_DER_cert(chain[start : chain.index(end, start) + len(end)])


def _changed(certfile: Path, keyfile: Path, known: Pair) -> Pair | None:
    """Return the pair that files have, None where it is the known one."""
    if (_read(certfile), _read(keyfile)) == (known.chain, known.key):
        return None
    return load_pair(certfile, keyfile)


def _read(file: Path) -> bytes:
    try:
        found = file.stat()
        # A pipe would hold whoever reads it, and a device has no end.
        if not stat.S_ISREG(found.st_mode):
            raise CertificateError("one is no file")
        if found.st_size > _LARGEST_FILE_BYTES:
            raise CertificateError(f"one has over {_LARGEST_FILE_BYTES} bytes")
        return file.read_bytes()
    except OSError as error:
        raise CertificateError(f"one can't be read: {error.strerror}") from None


def _no_password() -> NoReturn:
    """Refuse a key that wants one: OpenSSL would ask for it on the terminal."""
    raise CertificateError("the key is encrypted, which is not supported")
