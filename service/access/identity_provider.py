"""Tokens of an identity provider (OpenID Connect, RFC 9068): JWTs that it has signed."""

from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path
from time import monotonic
from typing import Any

import anyio
import anyio.to_thread
import jwt
import structlog

from service.access.issuer_keys import (
    ALGORITHMS,
    IssuerKeys,
    IssuerKeysError,
    fetch,
    read_file,
)
from service.access.keys_file import PREFIX as KEY_PREFIX
from service.access.principal import Principal, Scope
from service.core.text import presentable
from service.settings.changed_file import Signature, signature_of
from service.settings.errors import SettingsError
from service.settings.followed import followed
from service.settings.service import ServiceSettings
from service.settings.texts import shown_setting

LEEWAY_S = 10.0
"""Seconds by which the issuer's clock and this one may differ."""
_REFRESH_S = 300.0
"""Seconds between two fetches of keys where nothing asks for one."""
_LEAST_GAP_S = 10.0
"""Seconds from the beginning of a fetch to the next one, whatever names of keys callers make up."""
_MOST_WAITING = 64
"""Callers with an unknown key that wait for a fetch; further ones are not known meanwhile."""
_NAME_CHARACTERS = 64
_TYPES = frozenset({"jwt", "at+jwt", "application/at+jwt"})
_SCOPE_PREFIX = "hotswap:"
_ANY_MODEL = "*"

_log = structlog.get_logger("access")


class IdentityProvider:
    """Knows the tokens that OIDC_ISSUER has signed for OIDC_AUDIENCE; see Authenticator.

    With OIDC_JWKS_FILE its keys are those of the file, and nothing is fetched. Keys that can't be
    had leave those in force that it had before.
    """

    def __init__(self, service: ServiceSettings) -> None:
        """Read the file of keys, if one is set. Raise SettingsError where it can't be used."""
        self._issuer = service.oidc_issuer
        self._audiences = [one.strip() for one in service.oidc_audience.split(",") if one.strip()]
        self._scope_claim = service.oidc_scope_claim
        self._models_claim = service.oidc_models_claim
        self.trouble = ""
        self._keys = IssuerKeys([])
        self._file = Path(service.oidc_jwks_file) if service.oidc_jwks_file else None
        self._source = "OIDC_JWKS_FILE" if self._file else "OIDC_ISSUER"
        self._seen: Signature = None
        self._waiting = self._fetches = 0
        self._began_s = -_LEAST_GAP_S
        self._one_fetch = anyio.Lock()
        self._forget: Callable[[], None] = lambda: None
        if self._file is not None:
            # Before it is read: what is written meanwhile is seen at the next look.
            self._seen = signature_of(self._file)
            try:
                self._keys = read_file(self._file)
            except IssuerKeysError as error:
                raise SettingsError(
                    f"{shown_setting('oidc_jwks_file', str(self._file))} is wrong: {error}; "
                    "allowed is a set of public keys as RFC 7517 has it"
                ) from None

    async def principal_of(self, token: str) -> Principal | None:
        """Return the bearer of a token that the issuer has signed, for now and for this service."""
        read = None if token.startswith(KEY_PREFIX) else _header_of(token)
        if read is None:
            return None
        algorithm, kid = read
        if not self._keys.knows(kid) and self._file is None:
            await self._fetch_for_unknown(kid)
        key = self._keys.find(kid, algorithm)
        if key is None:
            return None
        try:
            claims = jwt.decode(
                token,
                key.key,
                algorithms=[algorithm],
                audience=self._audiences,
                issuer=self._issuer or None,
                leeway=LEEWAY_S,
                options={"require": ["exp", "aud", *(["iss"] if self._issuer else [])]},
            )
            return self._principal(claims)
        except (jwt.PyJWTError, ValueError, TypeError, OverflowError, RecursionError):
            return None

    @asynccontextmanager
    async def running(self, forget: Callable[[], None]) -> AsyncIterator[None]:
        """Follow the keys meanwhile; a key that is gone has all bearers asked for again."""
        self._forget = forget
        if self._file is not None:
            async with followed("OIDC_JWKS_FILE", partial(self._look_at_file, self._file)):
                yield
            return
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(self._follow_issuer)
            yield
            tasks.cancel_scope.cancel()

    async def _follow_issuer(self) -> None:
        while True:
            async with self._one_fetch:
                # A caller's unknown key may have had them fetched just now.
                if monotonic() - self._began_s >= _LEAST_GAP_S:
                    await self._renew(fetch, self._issuer)
            await anyio.sleep(_LEAST_GAP_S if self.trouble else _REFRESH_S)

    async def _look_at_file(self, file: Path) -> None:
        signature = await anyio.to_thread.run_sync(signature_of, file)
        if signature != self._seen:
            self._seen = signature
            await self._renew(read_file, file)

    async def _fetch_for_unknown(self, kid: object) -> None:
        """Have the keys fetched, unless that was tried just now, or many wait for it already."""
        if self._waiting >= _MOST_WAITING:
            return
        self._waiting += 1
        tried = self._fetches
        try:
            async with self._one_fetch:
                if self._keys.knows(kid) or self._fetches > tried:
                    return
                if monotonic() - self._began_s >= _LEAST_GAP_S:
                    await self._renew(fetch, self._issuer)
        finally:
            self._waiting -= 1

    async def _renew(self, get: Callable[[Any], IssuerKeys], source: Any) -> None:
        """Take the keys of a source, or keep those that are known where it has none."""
        self._began_s = monotonic()
        self._fetches += 1
        try:
            keys = await anyio.to_thread.run_sync(get, source, abandon_on_cancel=True)
        except IssuerKeysError as error:
            trouble = f"the keys of {self._source} are not renewed: {error}"
            if trouble != self.trouble:
                _log.error("keys are not renewed", source=self._source, reason=str(error))
            self.trouble = trouble
            return
        except Exception:  # noqa: BLE001 - what follows keys can't die
            _log.exception("keys can't be read", source=self._source)
            self.trouble = f"the keys of {self._source} are not renewed; the log says why"
            return
        before, self._keys = self._keys, keys
        if self.trouble or not len(before):
            _log.info("keys were read", source=self._source, keys=len(keys))
        self.trouble = ""
        if not keys.has_all_of(before):
            self._forget()

    def _principal(self, claims: Mapping[str, Any]) -> Principal:
        scopes = {one.removeprefix(_SCOPE_PREFIX) for one in _words(claims, self._scope_claim)}
        models = None
        if self._models_claim:
            models = frozenset(_words(claims, self._models_claim))
            models = None if _ANY_MODEL in models else models
        told = claims.get("sub") or claims.get("azp") or claims.get("client_id") or "token"
        return Principal(
            name=presentable(str(told), _NAME_CHARACTERS),
            scopes=frozenset(scope for scope in Scope if scope.value in scopes),
            models=models,
            expires_at=float(claims["exp"]) + LEEWAY_S,
        )


def _header_of(token: str) -> tuple[str, object] | None:
    """Return a token's algorithm and the name of its key; None for what can't be one of ours."""
    try:
        header = jwt.get_unverified_header(token)
    except (jwt.PyJWTError, ValueError, RecursionError):
        return None
    algorithm, kind = header.get("alg"), header.get("typ", "JWT")
    if not isinstance(algorithm, str) or algorithm not in ALGORITHMS or "crit" in header:
        return None
    # One may say that it is for something else, as that of a logout does.
    if not isinstance(kind, str) or kind.lower() not in _TYPES:
        return None
    # No address or key that a token brings is looked at: `jku`, `x5u`, `jwk`, `x5c`.
    return algorithm, header.get("kid")


def _words(claims: Mapping[str, Any], name: str) -> list[str]:
    """Return the words of a claim, a list or separated by spaces; `a.b` is in `a` as well."""
    found: Any = claims.get(name)
    if found is None:
        found = claims
        for part in name.split("."):
            found = found.get(part) if isinstance(found, Mapping) else None
    if isinstance(found, str):
        return found.split()
    return [one for one in found if isinstance(one, str)] if isinstance(found, list) else []
