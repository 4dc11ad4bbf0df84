"""Which deliveries of MLflow's webhooks are to be believed, and what little they are believed for.

The format is MLflow's (`mlflow/webhooks/delivery.py`, after the Standard Webhooks): the signature
is `v1,` and the base64 of HMAC-SHA256 over `{delivery id}.{unix seconds}.{body}`. A delivery that
MLflow tries again keeps its id, its time and its signature.
"""

import base64
import hashlib
import hmac
import re
import time
from collections.abc import Callable

import msgspec

from service.core.errors import SpentWebhookError, UnsignedWebhookError

FRESHNESS_S = 300
"""A delivery whose time is further from ours, either way, is refused."""
REMEMBERED = 4096
_DELIVERY_ID = re.compile(r"[!-~]{1,128}")
_TIMESTAMP = re.compile(r"[0-9]{1,12}")


class _Data(msgspec.Struct):
    name: str


class _Event(msgspec.Struct):
    data: _Data


class Deliveries:
    """Lets each delivery that MLflow signed and sent just now pass once."""

    def __init__(self, secret: str, clock: Callable[[], float] = time.time) -> None:
        self._secret = secret.encode()
        # Wall-clock time, since the sender's is all there is to compare with.
        self._clock = clock
        # Forgotten by number, not by age: a clock that is set back makes no old one new again.
        self._accepted: dict[str, None] = {}

    def accept(self, delivery_id: str, timestamp: str, signature: str, body: bytes) -> None:
        """Note that a delivery came, by its three headers ('' for one that is missing).

        Raise UnsignedWebhookError for one that was not signed with our secret, SpentWebhookError
        for one that is stale, from the future, or was accepted before. Neither is noted.
        """
        if not (_DELIVERY_ID.fullmatch(delivery_id) and _TIMESTAMP.fullmatch(timestamp)):
            raise UnsignedWebhookError("MLflow's headers with a delivery's id and time are wanted")
        wanted = self.signature(delivery_id, timestamp, body)
        if not hmac.compare_digest(signature.encode(), wanted):
            raise UnsignedWebhookError("a signature made with the WEBHOOK_SECRET is wanted")
        if abs(self._clock() - int(timestamp)) > FRESHNESS_S:
            raise SpentWebhookError(
                f"the delivery is not from within {FRESHNESS_S} s of now; if it is, "
                "compare the clocks of MLflow's machine and of this one"
            )
        if delivery_id in self._accepted:
            raise SpentWebhookError("this delivery was accepted before")
        self._accepted[delivery_id] = None
        if len(self._accepted) > REMEMBERED:
            del self._accepted[next(iter(self._accepted))]

    def signature(self, delivery_id: str, timestamp: str, body: bytes) -> bytes:
        """Return what MLflow signs a delivery with."""
        signed = f"{delivery_id}.{timestamp}.".encode() + body
        return b"v1," + base64.b64encode(hmac.digest(self._secret, signed, hashlib.sha256))


def is_of_another_model(body: bytes, name: str) -> bool:
    """Whether an event names a registered model that is certainly not `name` ('' for any).

    An event that can't be read may be of any model: looking once too often harms nobody.
    """
    try:
        event = msgspec.json.decode(body, type=_Event)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        return False
    return bool(name) and event.data.name != name
