"""`POST /webhooks/mlflow`: MLflow says that something moved; it is only ever a reason to look."""

from typing import Any

import msgspec
from litestar import Request, post
from litestar.di import NamedDependency
from litestar.params import RawBody

from service.access.principal import Permission
from service.core.events import Trigger
from service.deployments import Deployments
from service.handlers.guards import ANY_HOST, plain_body
from service.handlers.permissions import PERMISSION
from service.registry.webhook import Deliveries, is_of_another_model

_MAX_BODY_BYTES = 1_048_576
"""Events have some hundred bytes; a description within one may be long."""


class WebhookReply(msgspec.Struct):
    """The result of a delivery: `looking` at the registry now, or `ignored`: no model of ours."""

    status: str


@post(
    "/webhooks/mlflow",
    status_code=200,
    opt={ANY_HOST: True, PERMISSION: Permission.OPEN},
    guards=[plain_body],
    request_max_body_size=_MAX_BODY_BYTES,
)
async def mlflow_webhook(
    request: Request[Any, Any, Any],
    body: RawBody,
    deliveries: NamedDependency[Deliveries],
    deployments: NamedDependency[Deployments],
) -> WebhookReply:
    """Look at the registry now, if MLflow signed this, just now, and for the first time.

    What the event says moved is not believed: the registry is asked what is promoted.
    """
    delivery_id, timestamp, signature = (
        request.headers.get(f"x-mlflow-{name}", "")
        for name in ("delivery-id", "timestamp", "signature")
    )
    deliveries.accept(delivery_id, timestamp, signature, body)
    moved = [one for one in deployments.values() if not is_of_another_model(body, one.ref.name)]
    for deployment in moved:
        deployment.desired.wake(Trigger.WEBHOOK)
    return WebhookReply("looking" if moved else "ignored")
