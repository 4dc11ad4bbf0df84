"""`GET /model/journal`, and each model's: every promotion that was noticed, and its outcome."""

from typing import Annotated, Any

import msgspec
from litestar import get
from litestar.di import NamedDependency
from litestar.params import QueryParameter

from service.access.principal import Permission
from service.control.journal import KEPT_PROMOTIONS
from service.core.events import Promotion
from service.core.redaction import redact
from service.core.text import LISTED_CHARACTERS, presentable
from service.core.verdicts import Verdict
from service.deployment import Deployment
from service.handlers.permissions import PERMISSION

Limit = Annotated[
    int, QueryParameter(ge=1, le=KEPT_PROMOTIONS, description="How many promotions at most")
]


@get(
    ["/model/journal", "/models/{name:str}/journal"],
    opt={PERMISSION: Permission.READ},
)
async def journal_entries(
    deployment: NamedDependency[Deployment], limit: Limit = 50
) -> dict[str, Any]:
    """Answer with the promotions of the pointer that is followed, the newest first."""
    return {"promotions": [told(promotion) for promotion in deployment.journal.last(limit)]}


def told(promotion: Promotion) -> dict[str, Any]:
    """Return a promotion as it is shown in a list: without credentials, and with short reasons."""
    version = promotion.version
    return {
        "version": version.version,
        "name": version.name,
        "run_id": version.run_id or None,
        "source": redact(version.source),
        "trigger": promotion.trigger,
        "noticed_at": promotion.noticed_at,
        "outcome": promotion.outcome,
        # The name that it had before.
        "ending": promotion.outcome,
        "reason": presentable(promotion.reason, LISTED_CHARACTERS) or None,
        "verdicts": [_listed(verdict) for verdict in promotion.verdicts],
        "durations_s": promotion.durations_s,
        "environment": promotion.environment,
        "ended_at": promotion.ended_at,
    }


def _listed(verdict: Verdict) -> Verdict:
    reason = presentable(verdict.reason, LISTED_CHARACTERS)
    return verdict if reason == verdict.reason else msgspec.structs.replace(verdict, reason=reason)
