import base64
import hashlib
import hmac

import pytest

from service.core.errors import ServiceError, SpentWebhookError, UnsignedWebhookError
from service.registry.webhook import REMEMBERED, Deliveries, is_of_another_model

SECRET = "s3cret"  # noqa: S105 - of this test alone
ID = "5f8c6f0a-8f4e-4d0e-9a35-0f2f3b0c8a11"
SENT_S = 1_764_000_000
BODY = (
    b'{"entity": "model_version_alias", "action": "created", '
    b'"timestamp": "2025-11-24T16:00:00+00:00", '
    b'"data": {"name": "m", "alias": "champion", "version": "2"}}'
)
SIGNATURE = "v1,vhLreyfs/1ocYFpHqUD0nRMRGKk5r0/Z4z7mREYK93I="
"""What `mlflow.webhooks.delivery` of MLflow 3.17 makes of the above."""


class Clock:
    """A wall clock that is set by hand."""

    def __init__(self) -> None:
        self.now_s = float(SENT_S)

    def __call__(self) -> float:
        """Tell the time."""
        return self.now_s


@pytest.fixture
def clock() -> Clock:
    """Begin when the delivery was sent."""
    return Clock()


@pytest.fixture
def deliveries(clock: Clock) -> Deliveries:
    """Know the secret."""
    return Deliveries(SECRET, clock)


def refused(
    deliveries: Deliveries, delivery_id: str, timestamp: str, signature: str, body: bytes = BODY
) -> type[ServiceError]:
    """Return what a delivery is refused with."""
    with pytest.raises(ServiceError) as caught:
        deliveries.accept(delivery_id, timestamp, signature, body)
    assert SECRET not in str(caught.value)
    return caught.type


def test_what_mlflow_signed_is_accepted_once(deliveries: Deliveries) -> None:
    """The same delivery again, signed as well, is refused."""
    deliveries.accept(ID, str(SENT_S), SIGNATURE, BODY)
    assert refused(deliveries, ID, str(SENT_S), SIGNATURE) is SpentWebhookError


@pytest.mark.parametrize(
    ("delivery_id", "timestamp", "signature", "body"),
    [
        (ID, str(SENT_S), "", BODY),
        (ID, str(SENT_S), SIGNATURE.removeprefix("v1,"), BODY),
        (ID, str(SENT_S), SIGNATURE.replace("v1", "v2"), BODY),
        (ID, str(SENT_S), SIGNATURE.replace("vh", "vH"), BODY),
        (ID, str(SENT_S), "v1,\xe9", BODY),
        (ID, str(SENT_S), SIGNATURE, BODY.replace(b'"2"', b'"3"')),
        (ID, str(SENT_S + 1), SIGNATURE, BODY),
        (ID.replace("5", "6"), str(SENT_S), SIGNATURE, BODY),
        ("", str(SENT_S), SIGNATURE, BODY),
        ("x" * 129, str(SENT_S), SIGNATURE, BODY),
        (ID, "", SIGNATURE, BODY),
        (ID, "now", SIGNATURE, BODY),
        (ID, "9" * 400, SIGNATURE, BODY),
        (ID, str(SENT_S), SIGNATURE, b""),
    ],
)
def test_what_is_not_signed_with_the_secret_is_refused(
    deliveries: Deliveries, delivery_id: str, timestamp: str, signature: str, body: bytes
) -> None:
    """It is not noted either: the true delivery passes afterwards."""
    assert refused(deliveries, delivery_id, timestamp, signature, body) is UnsignedWebhookError
    deliveries.accept(ID, str(SENT_S), SIGNATURE, BODY)


def test_what_another_secret_signed_is_refused(clock: Clock) -> None:
    """A secret that begins as ours does is another one, and so is none."""
    for secret in ("s3cre", "s3cret2", ""):
        others = Deliveries(secret, clock)
        assert refused(others, ID, str(SENT_S), SIGNATURE) is UnsignedWebhookError


@pytest.mark.parametrize(
    ("late_s", "accepted"), [(-301, False), (-299, True), (0, True), (300, True), (301, False)]
)
def test_a_delivery_is_fresh_for_five_minutes_either_way(
    deliveries: Deliveries, clock: Clock, late_s: int, *, accepted: bool
) -> None:
    """Clocks differ; and a stale one is not noted."""
    clock.now_s += late_s
    if accepted:
        deliveries.accept(ID, str(SENT_S), SIGNATURE, BODY)
    else:
        assert refused(deliveries, ID, str(SENT_S), SIGNATURE) is SpentWebhookError
        clock.now_s = SENT_S
        deliveries.accept(ID, str(SENT_S), SIGNATURE, BODY)


def test_a_clock_that_is_set_back_makes_no_delivery_new(
    deliveries: Deliveries, clock: Clock
) -> None:
    """What was accepted is not forgotten with time."""
    deliveries.accept(ID, str(SENT_S), SIGNATURE, BODY)
    clock.now_s += 3600
    assert refused(deliveries, ID, str(SENT_S), SIGNATURE) is SpentWebhookError
    clock.now_s -= 3600
    assert refused(deliveries, ID, str(SENT_S), SIGNATURE) is SpentWebhookError


def signed(delivery_id: str) -> tuple[str, str, str, bytes]:
    """Return a delivery with this id as MLflow signs it."""
    text = f"{delivery_id}.{SENT_S}.".encode() + BODY
    digest = hmac.digest(SECRET.encode(), text, hashlib.sha256)
    return delivery_id, str(SENT_S), f"v1,{base64.b64encode(digest).decode()}", BODY


def test_deliveries_are_remembered_in_bounded_memory(deliveries: Deliveries) -> None:
    """The oldest are forgotten first, and would be accepted again."""
    for number in range(REMEMBERED + 1):
        deliveries.accept(*signed(f"id-{number}"))
    for number in (REMEMBERED, 1):
        assert refused(deliveries, *signed(f"id-{number}")) is SpentWebhookError
    deliveries.accept(*signed("id-0"))


@pytest.mark.parametrize(
    ("body", "name", "is_another"),
    [
        (BODY, "m", False),
        (BODY, "n", True),
        (BODY, "", False),
        (b'{"data": {"name": 7}}', "m", False),
        (b'{"data": {}}', "m", False),
        (b"[]", "m", False),
        (b"\xff", "m", False),
        (b"[" * 100_000, "m", False),
        (b"", "m", False),
    ],
)
def test_only_what_surely_is_of_another_model_is_ignored(
    body: bytes, name: str, *, is_another: bool
) -> None:
    """An event that can't be read is a reason to look."""
    assert is_of_another_model(body, name) is is_another
