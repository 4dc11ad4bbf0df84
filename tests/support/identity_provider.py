"""An identity provider of the tests' own, and tokens that are really signed."""

import json
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import jwt
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa

AUDIENCE = "hotswap-tests"


class SigningKey:
    """A private key, with the name that its public half has among the issuer's."""

    def __init__(self, kid: str, kind: str = "RS256") -> None:
        self.kid = kid
        self.algorithm = kind
        self.private: Any
        if kind.startswith("ES"):
            self.private = ec.generate_private_key(ec.SECP256R1())
        elif kind == "EdDSA":
            self.private = ed25519.Ed25519PrivateKey.generate()
        else:
            self.private = rsa.generate_private_key(65_537, 2_048)

    @property
    def jwk(self) -> dict[str, Any]:
        """The public half, as sets of keys have it."""
        algorithm = jwt.get_algorithm_by_name(self.algorithm)
        told: dict[str, Any] = algorithm.to_jwk(self.private.public_key(), as_dict=True)
        return {**told, "kid": self.kid, "use": "sig"}

    def sign(self, claims: dict[str, Any], *, algorithm: str | None = None, **header: Any) -> str:
        """Return a token with these claims; what is None in its header is left out."""
        whole = {"kid": self.kid, **header}
        kept = {name: value for name, value in whole.items() if value is not None}
        return jwt.encode(claims, self.private, algorithm or self.algorithm, headers=kept)


def claims_of(issuer: str, **changed: Any) -> dict[str, Any]:
    """Return a good token's claims, some of them changed; what is None is left out."""
    now = int(time.time())
    whole = {
        "iss": issuer,
        "aud": AUDIENCE,
        "sub": "someone",
        "iat": now,
        "exp": now + 300,
        "scope": "predict",
        **changed,
    }
    return {name: value for name, value in whole.items() if value is not None}


class Issuer:
    """Serves discovery and keys on loopback, and counts how often it is asked."""

    def __init__(self, port: int) -> None:
        self.url = f"http://127.0.0.1:{port}"
        self.keys: list[dict[str, Any]] = []
        self.asked: list[str] = []
        self.respond: Callable[[BaseHTTPRequestHandler], bool] = lambda _: False
        """Answers in its stead, and returns whether it did."""
        self.discovery: dict[str, Any] = {
            "issuer": self.url,
            "jwks_uri": f"{self.url}/keys",
        }

    @property
    def fetches(self) -> int:
        """How often its keys were asked for."""
        return self.asked.count("/keys")


@contextmanager
def issuing() -> Iterator[Issuer]:
    """Run an issuer meanwhile."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            issuer.asked.append(self.path)
            if issuer.respond(self):
                return
            known = {
                "/.well-known/openid-configuration": issuer.discovery,
                "/keys": {"keys": issuer.keys},
            }
            reply(
                self, 200 if self.path in known else 404, json.dumps(known.get(self.path)).encode()
            )

        def log_message(self, *_: Any) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    issuer = Issuer(server.server_address[1])
    thread = threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True)
    thread.start()
    try:
        yield issuer
    finally:
        server.shutdown()
        server.server_close()
        thread.join(10)


def reply(handler: BaseHTTPRequestHandler, status: int, body: bytes, **headers: str) -> None:
    """Send an answer."""
    handler.send_response(status)
    for name, value in {"content-length": str(len(body)), **headers}.items():
        handler.send_header(name, value)
    handler.end_headers()
    handler.wfile.write(body)
