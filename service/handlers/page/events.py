"""`GET /ui/:events` and `/ui/{name}/events`: what changes on a page while it is open."""

from collections.abc import AsyncGenerator
from contextlib import aclosing
from functools import partial
from typing import Any

from litestar import Request, get
from litestar.di import NamedDependency
from litestar.response import Stream

from service.access.principal import Permission
from service.deployment import Deployment
from service.deployments import Deployments
from service.handlers.deadline import deadline_of
from service.handlers.guards import caller_now
from service.handlers.permissions import PERMISSION, principal_in, visible
from service.handlers.session_cookie import PAGE, SessionCookie, session_in
from service.page.page import Page
from service.page.streams import Allowed

MODELS_PATH = f"{PAGE}/:events"
"""No model has a colon in its name."""
MODEL_PATH = f"{PAGE}/{{name:str}}/events"
_KIND = "text/event-stream"
_HEADERS = {"cache-control": "no-store", "x-accel-buffering": "no"}
"""Kept by nobody, and held back by no proxy."""
_LONGEST_ID = 60


@get(MODELS_PATH, opt={PERMISSION: Permission.READ})
async def models_events(
    request: Request[Any, Any, Any],
    deployments: NamedDependency[Deployments],
    page: NamedDependency[Page],
) -> Stream:
    """Tell what changes in the list of the models that the caller may know of.

    Raise OverloadedError where too many pages are open live, and ShuttingDownError.
    """
    principal, key = principal_in(request.scope), _key_of(request)
    page.streams.check_room(key)
    models = partial(visible, deployments, principal)
    until_s = deadline_of(request.scope)
    return _stream(request, page.streams.of_all(models, _still_allowed(request), until_s, key))


@get(MODEL_PATH, opt={PERMISSION: Permission.READ})
async def model_events(
    request: Request[Any, Any, Any],
    deployment: NamedDependency[Deployment],
    page: NamedDependency[Page],
) -> Stream:
    """Tell what changes of a model, after the event that `Last-Event-ID` names.

    Raise OverloadedError where too many pages are open live, and ShuttingDownError.
    """
    key = _key_of(request)
    page.streams.check_room(key)
    last_id = request.headers.get("last-event-id", "")[:_LONGEST_ID]
    allowed, until_s = _still_allowed(request), deadline_of(request.scope)
    events = page.streams.of_model(deployment.name, last_id, allowed, until_s, key)
    return _stream(request, events)


def _key_of(request: Request[Any, Any, Any]) -> str:
    """Return the name of the caller's key, '' where none is wanted."""
    return principal_in(request.scope).name if request.app.state.gate.wants_keys else ""


def _stream(request: Request[Any, Any, Any], events: AsyncGenerator[bytes]) -> Stream:
    return Stream(_held(request, events), media_type=_KIND, headers=_HEADERS)


async def _held(
    request: Request[Any, Any, Any], events: AsyncGenerator[bytes]
) -> AsyncGenerator[bytes]:
    """Yield events, and keep the caller's session meanwhile, if it has one."""
    cookie: SessionCookie = request.app.state.session_cookie
    session = session_in(request.scope)
    async with aclosing(events):
        if session is None:
            async for event in events:
                yield event
            return
        with cookie.sessions.held(session):
            async for event in events:
                yield event


def _still_allowed(request: Request[Any, Any, Any]) -> Allowed:
    """Return what tells whether a caller is still what it was when its stream began."""
    principal = principal_in(request.scope)

    async def allowed() -> bool:
        return await caller_now(request, Permission.READ) == principal

    return allowed
