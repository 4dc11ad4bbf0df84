"""`GET /metrics`: what Prometheus scrapes, of every model."""

from typing import Any

import anyio.to_thread
from anyio import CapacityLimiter
from litestar import Request, Response, get
from litestar.di import NamedDependency

from service.access.principal import Permission
from service.handlers.compression import qualities_of
from service.handlers.permissions import PERMISSION, principal_in, require_every_model
from service.telemetry.metrics.compat import Compat
from service.telemetry.metrics.exposition import exposition
from service.telemetry.metrics.metrics import Metrics


class Scrapes:
    """Writes what a scrape gets, in a thread: for many models it takes longer than the loop has.

    `compat` names other servers, separated by commas.
    """

    def __init__(self, metrics: Metrics, compat: str) -> None:
        self._metrics = metrics
        self._compat = [Compat(name.strip()) for name in compat.split(",") if name.strip()]
        # One after another: two together would take no less time, and more from requests.
        self._turn = CapacityLimiter(1)

    async def answer(self, accept: str, accept_encoding: str) -> Response[bytes]:
        """Write the numbers as they are now, in the format that is asked for."""
        async with self._turn:
            # Not before its turn, which others may take long for.
            snapshot = await self._metrics.snapshot()
            written = await anyio.to_thread.run_sync(
                lambda: exposition(
                    snapshot, accept, compat=self._compat, may_gzip=_takes_gzip(accept_encoding)
                )
            )
        # Not as `media_type`: the framework would add the charset, which is there.
        headers = {"content-type": written.content_type, "vary": "accept, accept-encoding"}
        if written.is_gzip:
            headers["content-encoding"] = "gzip"
        return Response(written.body, headers=headers)


@get("/metrics", opt={PERMISSION: Permission.READ})
async def metrics(
    request: Request[Any, Any, Any], scrapes: NamedDependency[Scrapes]
) -> Response[bytes]:
    """Answer with the metrics of every model, in the format that is asked for by `Accept`.

    A key that is for some models is not for this.
    """
    require_every_model(principal_in(request.scope))
    return await scrapes.answer(
        request.headers.get("accept", ""), request.headers.get("accept-encoding", "")
    )


def _takes_gzip(accept_encoding: str) -> bool:
    """Return whether gzip is named, and not with a quality of 0."""
    return qualities_of(accept_encoding).get("gzip", 0.0) > 0
