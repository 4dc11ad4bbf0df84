"""Ask a service that runs: what `hotswap pin` and `unpin` do, and where `hotswap status` asks."""

import ipaddress
import urllib.error
import urllib.request
from typing import Any
from urllib.parse import quote

import msgspec

from service.settings.service import ServiceSettings
from service.settings.settings import Settings

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

    With ADMIN_TOKEN where there is one. Raise ServiceUnreachableError where it can't be reached.
    """
    path = f"/models/{quote(model, safe='')}/pin" if model else "/model/pin"
    url = f"http://{address_of_service(settings.service)}{path}"
    headers = {"content-type": "application/json", **authorization(settings.service)}
    data = None if body is None else msgspec.json.encode(body)
    request = urllib.request.Request(url, data, headers, method=method)
    # No proxy: the service is on this machine or on its network.
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
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


def authorization(service: ServiceSettings) -> dict[str, str]:
    """Return the header with ADMIN_TOKEN, none where there is no token."""
    return {"authorization": f"Bearer {service.admin_token}"} if service.admin_token else {}


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
