"""Asks a running service how it stands."""

import contextlib
import http.client
from http import HTTPStatus
from typing import TypeVar
from urllib.parse import quote

import msgspec

from service.commands.remote import address_of_service, authorization, tls_of_service
from service.commands.status.answers import Health, Info, Models
from service.commands.status.document import (
    ModelStatus,
    ServiceStatus,
    status_of_model,
    troubles_of_service,
)
from service.settings.errors import SettingsError
from service.settings.service import ServiceSettings

_LIMIT_S = 5.0
"""A service that is longer silent counts as away."""
_MOST_BYTES = 16_777_216
"""A longer answer is not read: no service of ours gives it."""

T = TypeVar("T")


class _Problem(msgspec.Struct):
    detail: str


class _WrongAnswerError(Exception):
    """Something answers, and not as this service does."""


class _RefusedError(Exception):
    """The service wants a key, or another one."""


class _GoneError(Exception):
    """A model is served no more, since the models were listed."""


def look(service: ServiceSettings) -> ServiceStatus:
    """Ask the service at HOST and PORT how it stands; that it does not answer is an answer, too.

    So is that the certificate which it should have can't be read.
    """
    address = address_of_service(service)
    try:
        tls = tls_of_service(service)
    except SettingsError as error:
        return ServiceStatus(url=f"https://{address}", answers=False, error=str(error))
    url = f"http://{address}" if tls is None else f"https://{address}"
    # One connection for all calls. It goes by no proxy.
    connection = (
        http.client.HTTPConnection(address, timeout=_LIMIT_S)
        if tls is None
        else http.client.HTTPSConnection(address, timeout=_LIMIT_S, context=tls)
    )
    headers = authorization(service)
    try:
        with contextlib.closing(connection):
            health = _ask(connection, "/health", headers, Health)
            models = _ask(connection, "/models", headers, Models)
            statuses: list[ModelStatus] = []
            for listed in models.models:
                path = f"/models/{quote(listed.name, safe='')}/info"
                with contextlib.suppress(_GoneError):
                    info = _ask(connection, path, headers, Info)
                    statuses.append(status_of_model(listed, info))
    except (OSError, http.client.HTTPException) as error:
        why = f"no service answers at {url} ({error or type(error).__name__})"
        return ServiceStatus(
            url=url, answers=False, error=f"{why}: is it running, with this HOST and PORT?"
        )
    except _RefusedError as error:
        return ServiceStatus(
            url=url,
            answers=False,
            error=f"the service at {url} wants a key with the scope read, or admin, in "
            f"HOTSWAP_KEY: {error}",
        )
    except _WrongAnswerError as error:
        return ServiceStatus(
            url=url, answers=False, error=f"what answers at {url} is not this service: {error}"
        )
    return ServiceStatus(
        url=url,
        answers=True,
        troubles=troubles_of_service(health, models),
        default=models.default,
        models=statuses,
    )


def _ask(
    connection: http.client.HTTPConnection, path: str, headers: dict[str, str], kind: type[T]
) -> T:
    """Call with GET, and return what was answered."""
    connection.request("GET", path, headers=headers)
    with connection.getresponse() as answer:
        body = answer.read(_MOST_BYTES + 1)
        status = answer.status
    if status == HTTPStatus.NOT_FOUND and kind is Info:
        raise _GoneError
    if status in {HTTPStatus.UNAUTHORIZED, HTTPStatus.FORBIDDEN}:
        raise _RefusedError(_detail(body, status))
    if len(body) > _MOST_BYTES:
        raise _WrongAnswerError(f"{path} has over {_MOST_BYTES} bytes")
    # `/health` is red with 503.
    if status != HTTPStatus.OK and not (
        kind is Health and status == HTTPStatus.SERVICE_UNAVAILABLE
    ):
        raise _WrongAnswerError(f"{path} was answered with status {status}")
    try:
        return msgspec.json.decode(body, type=kind)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise _WrongAnswerError(f"{path} can't be read: {error}") from None


def _detail(body: bytes, status: int) -> str:
    """Return the sentence of a problem."""
    with contextlib.suppress(msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        return msgspec.json.decode(body, type=_Problem).detail
    return f"it answers with status {status}"
