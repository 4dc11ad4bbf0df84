"""What the two functions do, without Azure: believe a delivery of MLflow's, and wake the service.

The standard library alone, so that it is tried without the runtime.
"""

import base64
import hashlib
import hmac
import json
import os
import re
import time
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Self

FRESHNESS_S = 300
"""A delivery whose time is further from ours, either way, is refused, as the service does it."""
_DELIVERY_ID = re.compile(r"[!-~]{1,128}")
_TIMESTAMP = re.compile(r"[0-9]{1,12}")
_REFUSED = 409


class NotConfiguredError(Exception):
    """A variable that is missing, or that can't be what it is for."""


class NotBelievedError(Exception):
    """Why a delivery is not MLflow's, or not of now."""


class NotWokenError(Exception):
    """Why the service did not look at the registry."""


@dataclass(frozen=True)
class Service:
    """The service to wake: `url` has no path, `model` is '' for its only or default one."""

    url: str
    token: str
    model: str = ""

    @classmethod
    def of(cls, environ: Mapping[str, str] = os.environ) -> Self:
        """Read HOTSWAP_URL, HOTSWAP_ADMIN_TOKEN and HOTSWAP_MODEL. Raise NotConfiguredError."""
        url = environ.get("HOTSWAP_URL", "").rstrip("/")
        if urllib.parse.urlsplit(url).scheme not in {"http", "https"}:
            raise NotConfiguredError("HOTSWAP_URL is the service's address, with https://")
        token = environ.get("HOTSWAP_ADMIN_TOKEN", "")
        if not token:
            raise NotConfiguredError("HOTSWAP_ADMIN_TOKEN is the service's ADMIN_TOKEN")
        return cls(url, token, environ.get("HOTSWAP_MODEL", ""))

    @property
    def reload_url(self) -> str:
        """Where it is told to look."""
        if self.model:
            return f"{self.url}/models/{urllib.parse.quote(self.model, safe='')}/reload"
        return f"{self.url}/reload-model"


def wake(service: Service, timeout_s: float) -> str:
    """Have the service look at the registry; return what came of it, in a sentence.

    A version that it refused is an answer, too, and so is one that takes longer than `timeout_s`
    to load: the service goes on. Raise NotWokenError where it did not look.
    """
    request = urllib.request.Request(  # noqa: S310 - http or https, by Service.of
        service.reload_url,
        data=b"",
        method="POST",
        headers={"authorization": f"Bearer {service.token}", "content-length": "0"},
    )
    try:
        with urllib.request.urlopen(request, timeout=timeout_s) as answer:  # noqa: S310 - the same
            return str(json.load(answer)["message"])
    except urllib.error.HTTPError as error:
        with error:
            said = error.read(2000).decode("utf-8", "replace")
        if error.code == _REFUSED:
            return f"refused: {said}"
        raise NotWokenError(f"{error.code}: {said}") from error
    except TimeoutError:
        return f"still at work after {timeout_s:g} s"
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise NotWokenError(f"{service.url} did not answer: {error}") from error


def believe(
    secret: str,
    headers: Mapping[str, str],
    body: bytes,
    clock: Callable[[], float] = time.time,
) -> None:
    """Let a delivery pass that MLflow signed with our secret just now.

    `headers` has names in lower case. One that is sent again passes again: to look once too often
    harms nobody. Raise NotBelievedError, NotConfiguredError without a secret.
    """
    if not secret:
        raise NotConfiguredError("HOTSWAP_WEBHOOK_SECRET is what MLflow signs with")
    delivery_id = headers.get("x-mlflow-delivery-id", "")
    timestamp = headers.get("x-mlflow-timestamp", "")
    signature = headers.get("x-mlflow-signature", "")
    if not (_DELIVERY_ID.fullmatch(delivery_id) and _TIMESTAMP.fullmatch(timestamp)):
        raise NotBelievedError("MLflow's headers with a delivery's id and time are wanted")
    signed = f"{delivery_id}.{timestamp}.".encode() + body
    wanted = b"v1," + base64.b64encode(hmac.digest(secret.encode(), signed, hashlib.sha256))
    if not hmac.compare_digest(signature.encode(), wanted):
        raise NotBelievedError("a signature made with our secret is wanted")
    if abs(clock() - int(timestamp)) > FRESHNESS_S:
        raise NotBelievedError(f"the delivery is not from within {FRESHNESS_S} s of now")
