"""Which sources of keys the settings name, in the order in which they are asked."""

from pathlib import Path

from service.access.admin_token import AdminToken
from service.access.authenticator import Authenticator
from service.access.gate import Gate
from service.access.keys import ApiKeys
from service.settings.service import ServiceSettings


def open_gate(service: ServiceSettings) -> Gate:
    """Return the gate of a service. It reads a file, and is for the service's start.

    Raise SettingsError where what a setting names can't be used.
    """
    sources: list[Authenticator] = []
    if service.api_keys_file:
        sources.append(ApiKeys(Path(service.api_keys_file)))
    if service.oidc_issuer or service.oidc_jwks_file:
        sources.append(_identity_provider(service))
    wants_keys = bool(sources)
    if service.admin_token:
        sources.append(AdminToken(service.admin_token))
    return Gate(sources, wants_keys=wants_keys)


def _identity_provider(service: ServiceSettings) -> Authenticator:
    from service.access.identity_provider import IdentityProvider  # noqa: PLC0415 - an extra

    return IdentityProvider(service)
