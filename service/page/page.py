"""The page of a service: what it renders, samples and tells those who have it open."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import anyio

from service.deployments import Deployments
from service.page.rendering import Renderer
from service.page.sampler import Sampler
from service.page.streams import Streams


class Page:
    """What people look at, of all models of a service. `running` samples meanwhile."""

    def __init__(self, deployments: Deployments) -> None:
        self.renderer = Renderer()
        self.sampler = Sampler(deployments, deployments.metrics.counts)
        self.streams = Streams(deployments, self.sampler, self.renderer)

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """Keep the charts' past meanwhile."""
        async with anyio.create_task_group() as sampling:
            # Before any page: one that says what is wrong is made on the event loop.
            await self.renderer.load()
            sampling.start_soon(self.sampler.run)
            yield
            sampling.cancel_scope.cancel()
