"""An identity provider's keys: fetched from its discovery document, or read from a file."""

import http.client
import json
import socket
import ssl
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import jwt
import msgspec
from cryptography.hazmat.primitives.asymmetric.ec import EllipticCurvePublicKey
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey

from service.settings.addresses import is_safe
from service.store.files import read_small

FETCH_LIMIT_S = 5.0
"""Seconds that the issuer has to let us connect, and as many for its answer, however it comes."""
_MOST_BYTES = 1_048_576
_MOST_KEYS = 1_000
_LEAST_RSA_BITS, _MOST_RSA_BITS = 2_048, 16_384
"""A shorter one is no hindrance, and a longer one takes milliseconds for each token."""
_WELL_KNOWN = "/.well-known/openid-configuration"
_RSA = frozenset({"RS256", "RS384", "RS512", "PS256", "PS384", "PS512"})
_BY_CURVE = {"secp256r1": "ES256", "secp384r1": "ES384", "secp521r1": "ES512"}
ALGORITHMS = frozenset({*_RSA, *_BY_CURVE.values(), "EdDSA"})
"""Those with a public key. By a secret that both sides have, whoever checks could sign as well."""


class IssuerKeysError(Exception):
    """Keys that can't be had, or not be used, in half a sentence."""


class VerifyingKey(msgspec.Struct, frozen=True):
    """A public key, and the algorithms that signatures by it may have."""

    kid: str | None
    key: Any
    algorithms: frozenset[str]
    written: str
    """The key as it was told, to know another one by."""


class IssuerKeys:
    """The keys of one moment."""

    def __init__(self, keys: list[VerifyingKey]) -> None:
        self._keys = keys

    def __len__(self) -> int:
        return len(self._keys)

    @property
    def written(self) -> frozenset[str]:
        """The keys as they were told, to compare with others."""
        return frozenset(key.written for key in self._keys)

    def has_all_of(self, others: "IssuerKeys") -> bool:
        """Tell whether none of the others' is gone."""
        return others.written <= self.written

    def knows(self, kid: object) -> bool:
        """Tell whether a key has this name; the only key needs none."""
        return any(key.kid == kid for key in self._keys) or (kid is None and len(self) == 1)

    def find(self, kid: object, algorithm: str) -> VerifyingKey | None:
        """Return the key of this name for signatures of this kind."""
        for key in self._keys:
            is_meant = key.kid == kid or (kid is None and len(self) == 1)
            if is_meant and algorithm in key.algorithms:
                return key
        return None


def read_file(file: Path) -> IssuerKeys:
    """Read a set of keys (RFC 7517). Raise IssuerKeysError."""
    try:
        return _keys_of(read_small(file.resolve(strict=True), _MOST_BYTES))
    except (OSError, RuntimeError) as error:
        raise IssuerKeysError(f"it can't be read ({getattr(error, 'strerror', error)})") from None


def fetch(issuer: str) -> IssuerKeys:
    """Ask an issuer for its keys, for its two documents. Raise IssuerKeysError.

    It has to answer itself: nothing that leads elsewhere is followed.
    """
    document = _object(_get(issuer.rstrip("/") + _WELL_KNOWN))
    if document.get("issuer") != issuer:
        raise IssuerKeysError("its discovery document names another issuer than OIDC_ISSUER")
    address = document.get("jwks_uri")
    if not isinstance(address, str):
        raise IssuerKeysError("its discovery document has no jwks_uri")
    if not is_safe(address):
        raise IssuerKeysError("the jwks_uri of its discovery document is not https")
    return _keys_of(_get(address))


def _get(address: str) -> bytes:
    parts = urlsplit(address)
    host = parts.hostname or ""
    connection = (
        http.client.HTTPSConnection(
            host, parts.port, timeout=FETCH_LIMIT_S, context=ssl.create_default_context()
        )
        if parts.scheme == "https"
        else http.client.HTTPConnection(host, parts.port, timeout=FETCH_LIMIT_S)
    )
    try:
        connection.connect()
        with _limited(connection.sock):
            target = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
            connection.request("GET", target, headers={"accept": "application/json"})
            with connection.getresponse() as answer:
                if answer.status != http.client.OK:
                    raise IssuerKeysError(f"it answered with status {answer.status}")
                body = answer.read(_MOST_BYTES + 1)
    except TimeoutError:
        raise IssuerKeysError(f"it did not answer within {FETCH_LIMIT_S:g} s") from None
    except (OSError, http.client.HTTPException, ValueError) as error:
        raise IssuerKeysError(f"it did not answer ({type(error).__name__})") from None
    finally:
        connection.close()
    if len(body) > _MOST_BYTES:
        raise IssuerKeysError(f"it answered with over {_MOST_BYTES} bytes")
    return body


@contextmanager
def _limited(connected: socket.socket) -> Iterator[None]:
    """End a connection under what reads from it, once its time is over.

    Its own limit is for each step: one that sends a byte now and then would take for ever.
    """
    limit = threading.Timer(FETCH_LIMIT_S, _end, (connected,))
    limit.daemon = True
    limit.start()
    try:
        yield
    finally:
        limit.cancel()


def _end(connected: socket.socket) -> None:
    with suppress(OSError):
        connected.shutdown(socket.SHUT_RDWR)


def _object(body: bytes) -> Mapping[str, Any]:
    try:
        found = json.loads(body)
    except (ValueError, RecursionError):
        found = None
    if not isinstance(found, dict):
        raise IssuerKeysError("what it has is no JSON object")
    return found


def _keys_of(body: bytes) -> IssuerKeys:
    listed = _object(body).get("keys")
    if not isinstance(listed, list) or len(listed) > _MOST_KEYS:
        raise IssuerKeysError(f"it has no list of keys, or over {_MOST_KEYS}")
    keys = [key for one in listed if isinstance(one, dict) for key in _usable(one)]
    if not keys:
        raise IssuerKeysError("it has no key that signatures can be checked with")
    return IssuerKeys(keys)


def _usable(told: dict[str, Any]) -> Iterator[VerifyingKey]:
    """Yield a key, unless it is for something else, or of a kind that is not taken here."""
    kid, for_what = told.get("kid"), told.get("key_ops", ["verify"])
    if told.get("use", "sig") != "sig":
        return
    if not isinstance(for_what, list) or "verify" not in for_what:
        return
    if told.get("kty") == "oct" or not isinstance(kid, str | None):
        return
    try:
        key = jwt.PyJWK(_public(told)).key
    except (jwt.PyJWTError, ValueError, TypeError, OverflowError):
        # Issuers have keys for others, too.
        return
    if isinstance(key, RSAPublicKey):
        algorithms = _RSA if _LEAST_RSA_BITS <= key.key_size <= _MOST_RSA_BITS else frozenset[str]()
    elif isinstance(key, EllipticCurvePublicKey):
        algorithms = frozenset(filter(None, [_BY_CURVE.get(key.curve.name)]))
    else:
        algorithms = frozenset({"EdDSA"}) if told.get("kty") == "OKP" else frozenset[str]()
    if "alg" in told:
        algorithms &= {told["alg"]} if isinstance(told["alg"], str) else set()
    if algorithms:
        yield VerifyingKey(kid, key, algorithms, json.dumps(told, sort_keys=True))


def _public(told: dict[str, Any]) -> dict[str, Any]:
    """Return the public parts of a key: a private one has no business here, and counts as public.

    Without its algorithm, which the library would know otherwise by its own table alone.
    """
    return {name: told[name] for name in ("kty", "n", "e", "crv", "x", "y") if name in told}
