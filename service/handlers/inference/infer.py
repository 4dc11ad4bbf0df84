"""`POST /v2/models/{name}/infer`: tensors in, tensors out, in JSON and behind it."""

from collections.abc import AsyncIterator
from typing import Any

from litestar import Request, Response, post
from litestar.di import NamedDependency
from litestar.response import Stream

from service.codecs.catalog import INFERENCE
from service.codecs.inference.frame import ANSWER_BYTES, before_request, json_bytes_of
from service.codecs.inference.timeout import timeout_s_in
from service.core.errors import MalformedBodyError
from service.core.text import presentable
from service.deployment import Deployment
from service.deployments import Deployments
from service.handlers.caller import caller_of
from service.handlers.deadline import deadline_in
from service.handlers.early_refusal import MOST_DIGITS, refuse_early
from service.handlers.inference.addressed import check_version, paths, served, wanted_version
from service.handlers.inference.compression import Compression, coding_of, wanted_coding
from service.handlers.inference.faults import FAULTS
from service.serving.dataplane import DataPlane
from service.serving.interface import EncodedRequest

JSON_BYTES = "inference-header-content-length"
"""The header that says how much of a body is JSON; binary tensors follow."""
_SHOWN = 40
_STEP_BYTES = 1_048_576
"""A larger answer is handed to the connection in parts of this size, each of which is copied."""


@post(
    paths("/infer"),
    status_code=200,
    exception_handlers=FAULTS,
)
async def infer(
    request: Request[Any, Any, Any],
    deployment: NamedDependency[Deployment],
    deployments: NamedDependency[Deployments],
    dataplane: NamedDependency[DataPlane],
    compression: NamedDependency[Compression],
) -> Response[Any]:
    """Answer by the version that serves when the request comes, or not at all if another is named.

    Its tensors are what `GET /v2/models/{name}` shows. Any content type is taken: clients of Triton
    send none.
    """
    wanted = wanted_version(request)
    model = served(deployment, wanted)
    encoding = ", ".join(request.headers.getall("content-encoding", []))
    coding_of(encoding)
    refuse_early(request, deployment, dataplane)
    json_bytes = _json_bytes(request)
    chunks = [chunk async for chunk in request.stream()]
    chunks = [*await compression.inflated(chunks, encoding)]
    if json_bytes is None:
        json_bytes = sum(map(len, chunks))
    # The body may have taken long: another deployment may have this name by now.
    deployment = deployments.latest(deployment)
    before = before_request(json_bytes, deployment.name)
    body = b"".join([before, *chunks])
    del chunks
    timeout_s = timeout_s_in(body, len(before), len(before) + json_bytes, model.contract)
    answer = await dataplane.infer(
        deployment,
        EncodedRequest(body, INFERENCE, INFERENCE),
        caller_of(request.receive),
        deadline_in(timeout_s),
    )
    # A swap may have come between.
    check_version(deployment, wanted, answer.version)
    headers = dict(answer.names.headers)
    json_bytes = json_bytes_of(answer.body)
    if json_bytes:
        headers[JSON_BYTES] = str(json_bytes)
    return await _reply(request, memoryview(answer.body)[ANSWER_BYTES:], headers, compression)


async def _reply(
    request: Request[Any, Any, Any],
    body: memoryview,
    headers: dict[str, str],
    compression: Compression,
) -> Response[Any]:
    media_type = "application/octet-stream" if JSON_BYTES in headers else "application/json"
    coding = wanted_coding(",".join(request.headers.getall("accept-encoding", [])), len(body))
    if coding:
        headers["content-encoding"] = coding
        headers["vary"] = "accept-encoding"
        body = memoryview(await compression.deflated(body, coding))
    if len(body) <= _STEP_BYTES:
        return Response(bytes(body), media_type=media_type, headers=headers)
    headers["content-length"] = str(len(body))
    return Stream(_parts(body), media_type=media_type, headers=headers)


async def _parts(body: memoryview) -> AsyncIterator[bytes]:
    for start in range(0, len(body), _STEP_BYTES):
        yield bytes(body[start : start + _STEP_BYTES])


def _json_bytes(request: Request[Any, Any, Any]) -> int | None:
    """Return how much of the body is JSON, None where all of it is. Raise MalformedBodyError."""
    given = request.headers.get(JSON_BYTES)
    if given is None:
        return None
    if not (given.isascii() and given.isdigit() and len(given) <= MOST_DIGITS):
        raise MalformedBodyError(
            f"Inference-Header-Content-Length is {presentable(given, _SHOWN)!r}, and no number of "
            "bytes"
        )
    return int(given)
