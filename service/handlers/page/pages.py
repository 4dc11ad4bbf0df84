"""`GET /` or `/ui`, and `/ui/{name}`: how all models stand, and all that is known of one."""

from typing import Any

import anyio.lowlevel
import msgspec
from litestar import HttpMethod, Request, Response, route
from litestar.di import NamedDependency
from litestar.types import ExceptionHandlersMap

from service.access.principal import Permission
from service.core.errors import ServiceError
from service.deployment import Deployment
from service.deployments import Deployments
from service.handlers.files import READS
from service.handlers.permissions import PERMISSION, principal_in, visible
from service.handlers.problems import answer_of
from service.handlers.security_headers import OF_PAGES
from service.handlers.session_cookie import PAGE
from service.page.form import form_of
from service.page.models import summary_of, view_of
from service.page.page import Page
from service.page.rendering import Surroundings

MODELS_PATHS = ["/", PAGE]
"""A session counts for the second one alone."""
MODEL_PATH = f"{PAGE}/{{name:str}}"
_HTML = "text/html"
_IN_A_STEP = 10
"""After so many models the event loop comes round."""


def answer_fault(request: Request[Any, Any, Any], error: ServiceError) -> Response[Any]:
    """Answer with a page that says why there is no other."""
    answer = answer_of(error)
    told = msgspec.json.decode(answer.body)
    html = request.app.state.looks.page.renderer.fault(
        _around(request), answer.status, told["title"], told["detail"]
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
    opt={PERMISSION: Permission.READ},
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
    opt={PERMISSION: Permission.READ},
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
    if model is not None:
        example = model.proof.example if model.proof is not None else b""
        form = form_of(model.contract, model.version.version, example)
    view, seen_at = view_of(deployment), deployment.status.registry.seen_at
    html = await page.renderer.model(_around(request), view, form, seen_at)
    return _answer(request, html)


def _around(request: Request[Any, Any, Any]) -> Surroundings:
    state = request.app.state
    wants_keys = state.gate.wants_keys
    return Surroundings(state.looks.files.path, PAGE if wants_keys else "/", wants_keys)


def _answer(request: Request[Any, Any, Any], html: str) -> Response[Any]:
    body = html.encode()
    headers = dict(OF_PAGES)
    if request.method == HttpMethod.HEAD:
        headers["content-length"], body = str(len(body)), b""
    return Response(body, media_type=_HTML, headers=headers)
