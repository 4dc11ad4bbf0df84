"""Tokens of an identity provider, really signed, by keys that a real server on loopback has."""

import base64
import hashlib
import hmac
import json
import time
from collections.abc import Iterator
from contextlib import AsyncExitStack, suppress
from functools import partial
from pathlib import Path
from typing import Any, Self

import anyio
import jwt
import pytest
from cryptography.hazmat.primitives import serialization

from service.access import identity_provider, issuer_keys
from service.access.identity_provider import IdentityProvider
from service.access.principal import Scope
from service.settings import followed
from service.settings.environment import load_settings
from service.settings.errors import SettingsError
from service.settings.service import ServiceSettings
from tests.support.identity_provider import (
    AUDIENCE,
    Issuer,
    SigningKey,
    claims_of,
    issuing,
    reply,
)
from tests.support.waiting import until

LIMIT_S = 10.0
KEY = SigningKey("first")
OTHER = SigningKey("second", "ES256")
EDWARDS = SigningKey("third", "EdDSA")


@pytest.fixture
def issuer() -> Iterator[Issuer]:
    """Run an issuer with one key."""
    with issuing() as running:
        running.keys = [KEY.jwk]
        yield running


class Known(AsyncExitStack):
    """A provider that follows an issuer, or has the keys of a file."""

    def __init__(self, issuer: str, **settings: Any) -> None:
        super().__init__()
        settings = {"oidc_audience": AUDIENCE, **settings}
        self.provider = IdentityProvider(ServiceSettings(oidc_issuer=issuer, **settings))
        self.forgotten = 0

    def forget(self) -> None:
        """Count it."""
        self.forgotten += 1

    async def __aenter__(self) -> Self:
        await self.enter_async_context(self.provider.running(self.forget))
        return self

    async def lets_in(self, token: str) -> bool:
        """Tell whether a token's bearer is known."""
        return await self.provider.principal_of(token) is not None


def encoded(part: Any) -> str:
    """Return a part of a token."""
    raw = part if isinstance(part, bytes) else json.dumps(part).encode()
    return base64.urlsafe_b64encode(raw).rstrip(b"=").decode()


async def test_a_tokens_claims_say_who_it_is_and_what_it_may(issuer: Issuer) -> None:
    """By a claim of words, or a list, or one within another; until it ends."""
    async with Known(issuer.url, oidc_models_claim="models") as known:
        claims = claims_of(issuer.url, scope="openid predict hotswap:read", models=["a", "b"])
        found = await known.provider.principal_of(KEY.sign(claims))
        assert found is not None
        assert found.name == "someone"
        assert found.scopes == {Scope.PREDICT, Scope.READ}
        assert found.models == frozenset({"a", "b"})
        assert found.expires_at == claims["exp"] + identity_provider.LEEWAY_S
        cases: tuple[tuple[Any, Any], ...] = (("*", None), ("a", {"a"}), (None, set()), (7, set()))
        for models, expected in cases:
            token = KEY.sign(claims_of(issuer.url, models=models))
            found = await known.provider.principal_of(token)
            assert found is not None
            models_of: Any = found.models
            assert models_of == expected
    async with Known(issuer.url, oidc_scope_claim="realm_access.roles") as known:
        token = KEY.sign(claims_of(issuer.url, scope="predict", realm_access={"roles": ["admin"]}))
        found = await known.provider.principal_of(token)
        assert found is not None
        assert found.scopes == {Scope.ADMIN}
        assert found.models is None


async def test_every_kind_of_public_key_is_taken(issuer: Issuer) -> None:
    """With the algorithms that are its own, whichever of RSA's the issuer signs with."""
    issuer.keys = [KEY.jwk, OTHER.jwk, EDWARDS.jwk]
    async with Known(issuer.url) as known:
        for key, algorithm in ((KEY, "RS512"), (KEY, "PS256"), (OTHER, None), (EDWARDS, None)):
            assert await known.lets_in(key.sign(claims_of(issuer.url), algorithm=algorithm))
        issuer.keys[0]["alg"] = "RS256"
        assert not await known.lets_in(EDWARDS.sign(claims_of(issuer.url), kid="first"))
    async with Known(issuer.url) as known:
        assert await known.lets_in(KEY.sign(claims_of(issuer.url)))
        assert not await known.lets_in(KEY.sign(claims_of(issuer.url), algorithm="PS256"))


@pytest.mark.parametrize(
    "changed",
    [
        {"aud": "another"},
        {"aud": None},
        {"aud": []},
        {"iss": "https://login.example.com"},
        {"iss": None},
        {"exp": int(time.time()) - 60},
        {"exp": None},
        {"exp": "soon"},
        {"exp": 1e400},
        {"nbf": int(time.time()) + 600},
        {"iat": int(time.time()) + 600},
        {"sub": 7},
    ],
    ids=str,
)
async def test_a_token_for_another_time_or_place_is_none(
    issuer: Issuer, changed: dict[str, Any]
) -> None:
    """Whoever signed it: it is checked for when, by whom and for whom it is."""
    async with Known(issuer.url) as known:
        assert await known.lets_in(KEY.sign(claims_of(issuer.url)))
        assert not await known.lets_in(KEY.sign(claims_of(issuer.url, **changed)))


async def test_what_nobody_signed_is_none(issuer: Issuer) -> None:
    """No algorithm, a public key taken for a secret, a key that the token brings, a changed one."""
    public = KEY.private.public_key()
    forms = serialization.Encoding, serialization.PublicFormat
    pem = public.public_bytes(forms[0].PEM, forms[1].SubjectPublicKeyInfo)
    claims, stranger = claims_of(issuer.url), SigningKey("first")

    def with_secret(secret: bytes) -> str:
        signed = f"{encoded({'alg': 'HS256', 'typ': 'JWT', 'kid': 'first'})}.{encoded(claims)}"
        mac = hmac.new(secret, signed.encode(), hashlib.sha256).digest()
        return f"{signed}.{encoded(mac)}"

    good = KEY.sign(claims)
    head, body, signature = good.split(".")
    grown = encoded({**claims, "scope": "admin"})
    leading: dict[str, Any] = {
        "jku": f"{issuer.url}/evil",
        "x5u": f"{issuer.url}/evil",
        "jwk": stranger.jwk,
    }
    async with Known(issuer.url) as known:
        assert await known.lets_in(good)
        for token in (
            jwt.encode(claims, None, "none", headers={"kid": "first"}),  # type: ignore[arg-type]
            f"{encoded({'alg': 'None', 'kid': 'first'})}.{body}.",
            f"{head}.{body}.",
            f"{head}.{grown}.{signature}",
            with_secret(pem),
            with_secret(json.dumps(KEY.jwk).encode()),
            stranger.sign(claims),
            stranger.sign(claims, **leading),
            KEY.sign(claims, crit=["b64"], b64=True),
            KEY.sign(claims, typ="logout+jwt"),
            KEY.sign(claims, typ=["JWT"]),
            "",
            "a.b.c",
            "..",
            "." * 16_000,
            f"{encoded(b'[' * 9_000)}.{body}.{signature}",
            f"{head}.{encoded(b'[' * 9_000)}.{signature}",
            f"{encoded({'alg': ['RS256'], 'kid': 'first'})}.{body}.{signature}",
            f"{encoded({'alg': 'RS256', 'kid': {}})}.{body}.{signature}",
            "hsk_" + good,
        ):
            assert not await known.lets_in(token), token[:200]
        assert set(issuer.asked) == {"/.well-known/openid-configuration", "/keys"}


async def test_keys_that_are_for_something_else_are_none(issuer: Issuer) -> None:
    """Those for encrypting, secrets, short ones, and such as nobody can read."""
    secret = {"kty": "oct", "k": encoded(b"secret" * 8), "kid": "first"}
    short = {**KEY.jwk, "n": encoded(b"\xff" * 64)}
    for wrong in (
        {**KEY.jwk, "use": "enc"},
        {**KEY.jwk, "key_ops": ["sign"]},
        {**KEY.jwk, "key_ops": 7},
        {**KEY.jwk, "n": encoded(b"\xff" * 4_096)},
        {**KEY.jwk, "alg": "RSA-OAEP"},
        {**KEY.jwk, "n": "!"},
        {**KEY.jwk, "kty": "new"},
        {**KEY.jwk, "kid": 7},
        secret,
        short,
        "nonsense",
    ):
        issuer.keys = [wrong, OTHER.jwk]  # type: ignore[list-item]
        async with Known(issuer.url) as known:
            assert await known.lets_in(OTHER.sign(claims_of(issuer.url)))
            assert not await known.lets_in(KEY.sign(claims_of(issuer.url)))


async def test_a_new_key_is_fetched_when_a_token_has_it(
    issuer: Issuer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """And one that is gone has remembered bearers forgotten."""
    monkeypatch.setattr(identity_provider, "_LEAST_GAP_S", 0.05)
    async with Known(issuer.url) as known:
        assert await known.lets_in(KEY.sign(claims_of(issuer.url)))
        issuer.keys = [KEY.jwk, OTHER.jwk]
        await anyio.sleep(0.06)
        assert await known.lets_in(OTHER.sign(claims_of(issuer.url)))
        assert known.forgotten == 0
        issuer.keys = [OTHER.jwk]
        await anyio.sleep(0.06)
        assert not await known.lets_in(KEY.sign(claims_of(issuer.url), kid="third"))
        assert not await known.lets_in(KEY.sign(claims_of(issuer.url)))
        assert known.forgotten == 1
        # The only key needs no name.
        assert await known.lets_in(OTHER.sign(claims_of(issuer.url), kid=None))


async def test_made_up_names_of_keys_do_not_flood_the_issuer(issuer: Issuer) -> None:
    """It is asked once in ten seconds at most; and callers with a known key don't wait."""
    claims = claims_of(issuer.url)
    async with Known(issuer.url) as known, anyio.create_task_group() as tasks:
        assert await known.lets_in(KEY.sign(claims))
        token = KEY.sign(claims)
        for number in range(300):
            tasks.start_soon(known.lets_in, f"{KEY.sign(claims, kid=f'k{number}')}")
        assert await known.lets_in(token)
    assert issuer.fetches == 1


def fail(how: str, handler: Any) -> bool:
    """Answer as an issuer does that fails."""
    # Whoever asks may have had enough of it.
    with suppress(OSError):
        match how:
            case "status":
                reply(handler, 500, b"{}")
            case "redirect":
                reply(handler, 302, b"", location="/elsewhere")
            case "silent":
                time.sleep(0.5)
            case "drips":
                handler.wfile.write(b"HTTP/1.1 200 OK\r\n")
                for _ in range(20):
                    handler.wfile.write(b"x: y\r\n")
                    time.sleep(0.05)
            case "huge":
                reply(handler, 200, b"[" * 3_000_000)
            case "nonsense":
                reply(handler, 200, b"\xff" * 9)
    return True


@pytest.mark.parametrize(
    "how", ["status", "redirect", "silent", "drips", "huge", "nonsense", "gone"]
)
async def test_an_issuer_that_fails_leaves_the_keys_that_are_known(
    issuer: Issuer, monkeypatch: pytest.MonkeyPatch, how: str
) -> None:
    """However it fails: in time, said in `trouble`; and nothing that leads away is followed."""
    monkeypatch.setattr(identity_provider, "_LEAST_GAP_S", 0.01)
    monkeypatch.setattr(issuer_keys, "FETCH_LIMIT_S", 0.3)

    async with Known(issuer.url) as known:
        good = KEY.sign(claims_of(issuer.url))
        assert await known.lets_in(good)
        if how == "gone":
            issuer.discovery["jwks_uri"] = "http://127.0.0.1:9/keys"
        else:
            issuer.respond = partial(fail, how)
        await anyio.sleep(0.02)
        began_s = anyio.current_time()
        assert not await known.lets_in(OTHER.sign(claims_of(issuer.url)))
        assert anyio.current_time() - began_s < 5
        assert "OIDC_ISSUER" in known.provider.trouble
        assert await known.lets_in(good)
        assert "/elsewhere" not in issuer.asked
        issuer.respond = lambda _: False
        issuer.discovery["jwks_uri"] = f"{issuer.url}/keys"
        issuer.keys = [KEY.jwk, OTHER.jwk]
        await anyio.sleep(0.02)
        assert await known.lets_in(OTHER.sign(claims_of(issuer.url)))
        assert known.provider.trouble == ""


async def test_a_discovery_document_leads_nowhere_else(issuer: Issuer) -> None:
    """It is for this issuer, and names keys by https: on loopback alone http will do."""
    for discovery, told in (
        ({**issuer.discovery, "issuer": "https://other.example"}, "another issuer"),
        ({**issuer.discovery, "jwks_uri": "http://keys.example/keys"}, "not https"),
        ({**issuer.discovery, "jwks_uri": "file:///etc/passwd"}, "not https"),
        ({"issuer": issuer.url}, "no jwks_uri"),
        ([], "no JSON object"),
    ):
        issuer.discovery = discovery  # type: ignore[assignment]
        async with Known(issuer.url) as known:
            provider = known.provider

            def is_told(provider: IdentityProvider = provider, told: str = told) -> bool:
                return told in provider.trouble

            await until(is_told, LIMIT_S)


async def test_keys_of_a_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """They are read again when it changes; a broken file leaves those before."""
    monkeypatch.setattr(followed, "LOOK_S", 0.01)
    file = tmp_path / "keys.json"
    file.write_text(json.dumps({"keys": [KEY.jwk]}))
    claims = claims_of("https://login.example.com")
    async with Known("", oidc_jwks_file=str(file)) as known:
        assert await known.lets_in(KEY.sign(claims))
        assert not await known.lets_in(OTHER.sign(claims))
        file.write_text("{")
        await until(lambda: "OIDC_JWKS_FILE" in known.provider.trouble, LIMIT_S)
        assert await known.lets_in(KEY.sign(claims))
        file.write_text(json.dumps({"keys": [OTHER.jwk]}))
        await until(lambda: not known.provider.trouble, LIMIT_S)
        assert await known.lets_in(OTHER.sign(claims))
        assert not await known.lets_in(KEY.sign(claims))
        assert known.forgotten == 1
    async with Known("https://other.example", oidc_jwks_file=str(file)) as known:
        assert not await known.lets_in(OTHER.sign(claims))


@pytest.mark.parametrize(
    ("environ", "told"),
    [
        ({"OIDC_ISSUER": "https://x.example"}, "OIDC_AUDIENCE is wanted"),
        ({"OIDC_AUDIENCE": "a"}, "without OIDC_ISSUER"),
        ({"OIDC_ISSUER": "http://x.example", "OIDC_AUDIENCE": "a"}, "https"),
        ({"OIDC_ISSUER": "https://u:p@x.example", "OIDC_AUDIENCE": "a"}, "https"),
        ({"OIDC_ISSUER": "https://x.example?a=b", "OIDC_AUDIENCE": "a"}, "https"),
        ({"OIDC_ISSUER": "https://x:y", "OIDC_AUDIENCE": "a"}, "https"),
        (
            {"OIDC_ISSUER": "https://x.example", "OIDC_AUDIENCE": "a", "ADMIN_OPEN": "true"},
            "disagree",
        ),
    ],
)
def test_settings_that_do_not_fit(environ: dict[str, str], told: str) -> None:
    """They are told in one line."""
    with pytest.raises(SettingsError, match=told):
        load_settings(environ)


def test_a_missing_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    """In a sentence that says how to install it."""
    monkeypatch.setattr("service.settings.service.find_spec", lambda _: None)
    with pytest.raises(SettingsError, match=r"pip install 'mlflow-hotswap\[oidc\]'"):
        ServiceSettings(oidc_issuer="https://x.example", oidc_audience="a")
