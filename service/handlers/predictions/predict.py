"""`POST /predict`, and each model's: rows or columns in, predictions out.

Usual requests are answered by `direct`.
"""

from http import HTTPStatus
from typing import Any

import msgspec
from litestar import Request, Response, post
from litestar.di import NamedDependency
from litestar.openapi.datastructures import ResponseSpec
from litestar.params import RawBody

from service.deployment import Deployment
from service.deployments import Deployments
from service.handlers.caller import caller_of
from service.handlers.described import NOT_FOUND, PredictOperation, problem_responses
from service.handlers.guards import plain_body
from service.handlers.media import CODECS, kind_of_answer, kind_of_body
from service.handlers.predictions.direct import NAMED_PATH, PATH, RaiseAgain
from service.serving.dataplane import DataPlane
from service.serving.interface import EncodedRequest


class PredictReply(msgspec.Struct):
    """The answer in JSON: rows or columns, as the request has them, and which version gave them."""

    predictions: list[dict[str, object]] | dict[str, list[object]]
    model_name: str
    model_stage: str
    model_version: str


_FAULTS = {
    HTTPStatus.BAD_REQUEST: "Malformed, or not what the served version takes: `path` and `row`",
    HTTPStatus.NOT_FOUND: NOT_FOUND,
    HTTPStatus.NOT_ACCEPTABLE: "Neither JSON nor Arrow is accepted",
    HTTPStatus.REQUEST_ENTITY_TOO_LARGE: "Over MAX_BODY_BYTES, or 8 times that once decoded",
    HTTPStatus.UNSUPPORTED_MEDIA_TYPE: "Neither JSON nor Arrow, or with a Content-Encoding",
    HTTPStatus.INTERNAL_SERVER_ERROR: "The model raised, or its answer is not finite: with `row`",
    HTTPStatus.SERVICE_UNAVAILABLE: "No version can answer, or too much is asked",
    HTTPStatus.GATEWAY_TIMEOUT: "No answer within REQUEST_TIMEOUT_S",
}


@post(
    [PATH, NAMED_PATH],
    status_code=200,
    guards=[plain_body],
    tags=["predict"],
    summary="Predict",
    operation_class=PredictOperation,
    responses={
        200: ResponseSpec(PredictReply, description="Predictions", generate_examples=False),
        **problem_responses(_FAULTS),
    },
    middleware=[RaiseAgain()],
)
async def predict(
    request: Request[Any, Any, Any],
    body: RawBody,
    deployment: NamedDependency[Deployment],
    deployments: NamedDependency[Deployments],
    dataplane: NamedDependency[DataPlane],
) -> Response[bytes]:
    """Predict for rows or columns, by the version that serves when the request comes.

    What they hold is the served version's signature, which `GET /model/info` shows. The answer is
    of the request's kind, JSON or Arrow, unless `Accept` says otherwise.
    """
    kind = kind_of_body(request.headers.get("content-type"))
    wanted = kind_of_answer(", ".join(request.headers.getall("accept", [])), kind)
    # The body may have taken long: another deployment may have this name by now.
    deployment = deployments.latest(deployment)
    encoded = EncodedRequest(body, CODECS[kind], CODECS[wanted])
    answer = await dataplane.infer(deployment, encoded, caller_of(request.receive))
    return Response(content=answer.body, media_type=wanted.value, headers=answer.names.headers)
