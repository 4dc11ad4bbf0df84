"""`GET /model/journal`: every promotion that was noticed, and what came of it."""

from typing import Annotated, Any

from litestar import get
from litestar.di import NamedDependency
from litestar.params import QueryParameter

from service.core.events import Promotion
from service.core.redaction import redact
from service.serving.journal import KEPT_PROMOTIONS, Journal

Limit = Annotated[
    int, QueryParameter(ge=1, le=KEPT_PROMOTIONS, description="How many promotions at most")
]


@get("/model/journal", tags=["model"], summary="What was promoted, and what came of it")
async def journal_entries(journal: NamedDependency[Journal], limit: Limit = 50) -> dict[str, Any]:
    """Answer with the promotions of the pointer that is followed, the newest first."""
    return {"promotions": [told(promotion) for promotion in journal.last(limit)]}


def told(promotion: Promotion) -> dict[str, Any]:
    """Return a promotion as it is shown: without credentials."""
    version = promotion.version
    return {
        "version": version.version,
        "name": version.name,
        "run_id": version.run_id or None,
        "source": redact(version.source),
        "trigger": promotion.trigger,
        "noticed_at": promotion.noticed_at,
        "ending": promotion.ending,
        "reason": redact(promotion.reason) or None,
        "verdicts": promotion.verdicts,
        "durations_s": promotion.durations_s,
        "ended_at": promotion.ended_at,
    }
