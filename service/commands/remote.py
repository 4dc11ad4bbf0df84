"""Ask a service that runs: what `hotswap pin` and `unpin` do, and where `hotswap status` asks."""

import ipaddress
import ssl
import urllib.error
import urllib.request
from pathlib import Path
from typing import Any
from urllib.parse import quote

import msgspec

from service.settings.errors import SettingsError
from service.settings.service import ServiceSettings
from service.settings.settings import Settings
from service.settings.texts import shown_setting
from service.wire.certificates import leaf_of

_SLACK_S = 10.0
"""It waits so much longer than LOAD_TIMEOUT_S: the service itself says that it takes longer."""


class ServiceUnreachableError(Exception):
    """Nothing answers where the settings say that the service listens."""


class Said(msgspec.Struct, frozen=True):
    """What the service said to a call, and whether it did as it was told."""

    good: bool
    sentence: str


def call_pin(settings: Settings, method: str, body: dict[str, str] | None, model: str) -> Said:
    """Call `pin` of a model, '' for the default one, in the service at HOST and PORT.

    With HOTSWAP_KEY or ADMIN_TOKEN where there is one. Raise ServiceUnreachableError where it can't
    be reached, and SettingsError where the certificate that it should have can't be read.
    """
    path = f"/models/{quote(model, safe='')}/pin" if model else "/model/pin"
    service = settings.service
    tls = tls_of_service(service)
    scheme = "http" if tls is None else "https"
    url = f"{scheme}://{address_of_service(service)}{path}"
    headers = {"content-type": "application/json", **authorization(service)}
    data = None if body is None else msgspec.json.encode(body)
    request = urllib.request.Request(url, data, headers, method=method)  # noqa: S310 - http or https
    # No proxy: the service is on this machine or on its network.
    handlers: list[urllib.request.BaseHandler] = [urllib.request.ProxyHandler({})]
    if tls is not None:
        handlers.append(urllib.request.HTTPSHandler(context=tls))
    opener = urllib.request.build_opener(*handlers)
    try:
        with opener.open(request, timeout=_limit_s(settings, model)) as answer:
            said: dict[str, Any] = msgspec.json.decode(answer.read())
            return Said(good=True, sentence=str(said["message"]))
    except urllib.error.HTTPError as error:
        return Said(good=False, sentence=_problem(error))
    except (OSError, msgspec.DecodeError, KeyError) as error:
        reason = getattr(error, "reason", error)
        raise ServiceUnreachableError(
            f"no service answers at {url} ({reason}): is it running, with this HOST and PORT?"
        ) from None


def address_of_service(service: ServiceSettings) -> str:
    """Return host and port where the service that these settings start is called."""
    return f"{_reachable(service.host)}:{service.port}"


def tls_of_service(service: ServiceSettings) -> ssl.SSLContext | None:
    """Return how the service's certificate is checked, None where it has none.

    By SSL_CAFILE and the name HOST; else it has to be the first of SSL_CERTFILE itself, whatever
    names it has. Raise SettingsError where the file can't be used.
    """
    if not service.ssl_certfile and not service.ssl_cafile:
        return None
    name = "ssl_cafile" if service.ssl_cafile else "ssl_certfile"
    file = Path(getattr(service, name))
    try:
        if service.ssl_cafile:
            return ssl.create_default_context(cafile=str(file))
        certificate = leaf_of(file.read_text("latin-1"))
        context = ssl.create_default_context(cadata=certificate)
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or error
        raise SettingsError(
            f"{shown_setting(name, str(file))} is wrong: {reason}; allowed are certificates as PEM"
        ) from None
    # Not an authority: it alone is trusted, and none that it might have signed.
    context.verify_flags |= ssl.VERIFY_X509_PARTIAL_CHAIN
    context.verify_flags &= ~ssl.VERIFY_X509_STRICT
    context.check_hostname = False
    return context


def authorization(service: ServiceSettings) -> dict[str, str]:
    """Return the header with HOTSWAP_KEY, or else ADMIN_TOKEN; none where there is neither."""
    key = service.hotswap_key or service.admin_token
    return {"authorization": f"Bearer {key}"} if key else {}


def _limit_s(settings: Settings, model: str) -> float:
    """Return how long the service may take: what is named may have come after these settings."""
    known = settings.deployments.get(model or settings.default, settings.defaults)
    return known.load_timeout_s + _SLACK_S


def _reachable(host: str) -> str:
    """Return where to call a service that listens on `host`, in the form that a URL wants."""
    try:
        address = ipaddress.ip_address(host)
    except ValueError:
        return host
    if address.is_unspecified:
        return "127.0.0.1" if address.version == 4 else "[::1]"  # noqa: PLR2004 - IPv4
    return f"[{host}]" if address.version == 6 else host  # noqa: PLR2004 - IPv6


def _problem(error: urllib.error.HTTPError) -> str:
    try:
        return str(msgspec.json.decode(error.read())["detail"])
    except (msgspec.DecodeError, KeyError, TypeError):
        return f"the service answered {error.code}"
