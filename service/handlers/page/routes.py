"""What an application has of the page: its routes and their parts; nothing where PAGE is off."""

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager

from litestar.handlers import HTTPRouteHandler

from service.deployments import Deployments
from service.handlers.page import calls, sign_in
from service.handlers.page.events import model_events, models_events
from service.handlers.page.files import StaticFiles, page_file
from service.handlers.page.pages import model_page, models_page
from service.page.page import Page

_ROUTES = (
    models_page,
    model_page,
    models_events,
    model_events,
    page_file,
    sign_in.sign_in,
    sign_in.keep_session,
    sign_in.sign_out,
    calls.ask,
    calls.pin_methods,
    calls.reload_model,
    calls.pin,
    calls.unpin,
)


class PageRoutes:
    """The page of these deployments as HTTP has it. `running` keeps the past of its charts."""

    def __init__(self, deployments: Deployments) -> None:
        is_on = deployments.settings.service.page
        self.page = Page(deployments) if is_on else None
        self.files = StaticFiles() if is_on else None
        self.handlers: Sequence[HTTPRouteHandler] = _ROUTES if is_on else ()

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """Sample meanwhile, if there is a page."""
        if self.page is None:
            yield
            return
        async with self.page.running():
            yield

    def end_streams(self) -> None:
        """End what open pages are told: the service ends."""
        if self.page is not None:
            self.page.streams.end()
