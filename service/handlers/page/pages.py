"""`GET /`, which is `/ui`, and `/ui/{name}`: how all models stand, and one with all that is known.

A caller that may not read sees which models there are, and their forms.
"""

from http import HTTPStatus
from typing import Any

import anyio.lowlevel
import msgspec
from litestar import HttpMethod, Request, Response, route
from litestar.di import NamedDependency
from litestar.response import Redirect
from litestar.types import ExceptionHandlersMap

from service.access.gate import AUTHORIZATION, Gate
from service.access.principal import Permission
from service.core.errors import ServiceError, UnauthorizedError
from service.deployment import Deployment
from service.deployments import Deployments
from service.handlers.files import READS
from service.handlers.guards import who_may_change
from service.handlers.permissions import PERMISSION, principal_in, visible
from service.handlers.problems import answer_of
from service.handlers.security_headers import OF_PAGES
from service.handlers.session_cookie import PAGE, session_in, values
from service.page.form import form_of
from service.page.models import summary_of, view_of
from service.page.page import Page
from service.page.rendering import Surroundings

HOME = "/"
MODELS_PATHS = [HOME, PAGE]
MODEL_PATH = f"{PAGE}/{{name:str}}"
_HTML = "text/html"
_IN_A_STEP = 10
"""The event loop comes round after each group of this many models."""


def answer_fault(request: Request[Any, Any, Any], error: ServiceError) -> Response[Any]:
    """Answer with a page that says why there is no other, or with the one where a key is entered.

    A session counts below the page's own path alone: there `/` is asked for again.
    """
    is_opened = values(request, b"sec-fetch-mode") == [b"navigate"]
    if isinstance(error, UnauthorizedError) and request.scope["path"] == HOME and is_opened:
        return Redirect(PAGE, status_code=303, headers=OF_PAGES)
    answer = answer_of(error)
    told = msgspec.json.decode(answer.body)
    around = _around(request, is_unknown=answer.status == HTTPStatus.UNAUTHORIZED)
    html = request.app.state.looks.page.renderer.fault(
        around, answer.status, told["title"], told["detail"]
    )
    headers = {name.decode(): value.decode() for name, value in answer.headers}
    return Response(
        html.encode(),
        status_code=answer.status,
        media_type=_HTML,
        headers={name: value for name, value in headers.items() if name != "content-type"}
        | OF_PAGES,
    )


_FAULTS: ExceptionHandlersMap = {ServiceError: answer_fault}


@route(
    MODELS_PATHS,
    http_method=READS,
    opt={PERMISSION: Permission.ANY},
    exception_handlers=_FAULTS,
)
async def models_page(
    request: Request[Any, Any, Any],
    deployments: NamedDependency[Deployments],
    page: NamedDependency[Page],
) -> Response[Any]:
    """Answer with the page of all models that the caller may know of."""
    shown = visible(deployments, principal_in(request.scope))
    summaries = []
    for index, deployment in enumerate(shown.values()):
        if index % _IN_A_STEP == _IN_A_STEP - 1:
            await anyio.lowlevel.checkpoint()
        summaries.append(summary_of(deployment))
    return _answer(request, await page.renderer.models(_around(request), summaries))


@route(
    MODEL_PATH,
    http_method=READS,
    opt={PERMISSION: Permission.ANY},
    exception_handlers=_FAULTS,
)
async def model_page(
    request: Request[Any, Any, Any],
    deployment: NamedDependency[Deployment],
    page: NamedDependency[Page],
) -> Response[Any]:
    """Answer with the page of a model."""
    model = deployment.routes.current
    form = None
    if model is not None and principal_in(request.scope).may(Permission.PREDICT):
        example = model.proof.example if model.proof is not None else b""
        form = form_of(model.contract, model.version.version, example)
    view, seen_at = view_of(deployment), deployment.status.registry.seen_at
    operator = await who_may_change(request)
    around = _around(request, may_change=operator is not None and operator.may_use(deployment.name))
    html = await page.renderer.model(around, view, form, seen_at)
    return _answer(request, html)


def _around(
    request: Request[Any, Any, Any], *, may_change: bool = False, is_unknown: bool = False
) -> Surroundings:
    state, principal = request.app.state, principal_in(request.scope)
    gate: Gate = state.gate
    session = session_in(request.scope)
    bearer = None if session is None else gate.known(session.credentials)
    may_sign_in = gate.has_sources and bearer is None and not values(request, AUTHORIZATION)
    return Surroundings(
        files=state.looks.files.path,
        home=PAGE if gate.wants_keys else HOME,
        wants_keys=gate.wants_keys,
        who=bearer.name if bearer is not None else "",
        may_sign_in=may_sign_in,
        signs_in=may_sign_in and is_unknown,
        may_read=principal.may(Permission.READ),
        may_predict=principal.may(Permission.PREDICT),
        may_change=may_change,
    )


def _answer(request: Request[Any, Any, Any], html: str) -> Response[Any]:
    body = html.encode()
    headers = dict(OF_PAGES)
    if request.method == HttpMethod.HEAD:
        headers["content-length"], body = str(len(body)), b""
    return Response(body, media_type=_HTML, headers=headers)
