"""The reference of HTTP, from the OpenAPI document of a made-up model."""

import json
import re
import tempfile
from collections.abc import Iterator
from http import HTTPStatus
from typing import Any, NamedTuple

from litestar.routes import HTTPRoute

from service.access.principal import Permission
from service.app import create_app
from service.contracts.choose import contract_for
from service.core import errors
from service.core.errors import ServiceError
from service.deployments import Deployments
from service.handlers.description import PARAMETERS, Described, PermissionOf, Serving
from service.handlers.openapi.document import write
from service.handlers.permissions import permissions_of
from service.handlers.problems import STATUS_BY_ERROR, TYPE_PREFIX
from service.handlers.scoring.faults import CODES as MLFLOWS_CODES
from service.settings.environment import load_settings
from tools.reference.schemas import cell, fields_of, in_words

MODEL = "wine"
VERSION = "3"
_SIGNATURE = {
    "inputs": [
        {"name": "alcohol", "type": "double", "required": True},
        {"name": "year", "type": "long", "required": False},
    ],
    "outputs": [{"name": "quality", "type": "double", "required": True}],
    "params": [{"name": "digits", "type": "long", "default": 1, "shape": None}],
}
_EXAMPLE = b'{"instances": [{"alcohol": 12.5, "year": 2019}], "params": {"digits": 1}}'
KEYS = {
    Permission.OPEN: "no key",
    Permission.HEALTH: "no key; a caller with one is told more",
    Permission.ANY: "a key of any scope",
    Permission.PREDICT: "the scope `predict`",
    Permission.READ: "the scope `read`",
    Permission.ADMIN: "the scope `admin`",
}
_ABOUT = f"""\
Every call, as the service itself describes it: `GET /schema/openapi.json` of a running one has \
the same for the models that it serves, with their columns, and `/docs` shows it. Here one model \
is served, `{MODEL}`: `alcohol` and perhaps `year` in, `quality` out. How the calls are meant is \
in [HTTP](../http.md) and [protocols](../protocols.md); [gRPC](grpc.md) has a page of its own."""
_KEYS = """\
Where keys are wanted ([who may call](../access.md)), a call wants what stands under it, and \
answers 401 without a known key and 403 with one that is not for it or not for the model \
(`permission-denied`). `admin` may do all that the others may. Where none are wanted, a call \
that wants `admin` wants the ADMIN_TOKEN, or comes from this machine."""
_ABOUT_TAGS = {
    "predict": "Errors are problem details: `type` is the code after "
    f"`{TYPE_PREFIX}`, `detail` a sentence.",
    "scoring": "Errors are MLflow's: `error_code` and `message`. The `code` below is what the log "
    "and the metrics have.",
    "inference": "Errors are the protocol's: `error`, a sentence. The `code` below is what the log "
    "and the metrics have.",
}

_NAMED = (errors.UnknownModelError, errors.NoDefaultModelError)
_TAKEN = (errors.BodyTooLargeError, errors.UnsupportedContentTypeError)
_BODY = (errors.MalformedBodyError, errors.ContractViolationError, *_TAKEN)
_READING = (errors.ForbiddenError, *_NAMED)
_ANSWERING = (*_READING, errors.NoVersionError)
PREDICTING = (
    *_ANSWERING,
    *_BODY,
    errors.MalformedHeaderError,
    errors.AnswerTooLargeError,
    errors.NotAcceptableError,
    errors.ModelFailedError,
    errors.UnwritableAnswerError,
    errors.NonFinitePredictionError,
    errors.ChildLostError,
    errors.ShuttingDownError,
    errors.OverloadedError,
    errors.RequestTimeoutError,
    errors.QueueTimeoutError,
    errors.DeadlineExceededError,
    ServiceError,
)
"""What a request for predictions can meet, in whichever protocol."""
_CHANGING = (
    *_READING,
    errors.UnauthorizedError,
    errors.UnknownVersionError,
    errors.RefusedError,
    errors.PinUnknownError,
    errors.SupersededError,
    errors.NothingPromotedError,
    errors.SourceUnavailableError,
    errors.FetchFailedError,
    errors.EnvironmentNotBuiltError,
    errors.ShuttingDownError,
    errors.ReloadTimeoutError,
    ServiceError,
)
_MET: tuple[tuple[str, tuple[type[ServiceError], ...]], ...] = (
    ("predict", PREDICTING),
    ("invocations", (*PREDICTING, errors.ScoringError)),
    ("mlflow_version", _ANSWERING),
    ("v2_infer", (*PREDICTING, errors.UnknownVersionError)),
    ("v2_repository_index", (errors.ForbiddenError, *_BODY)),
    # Refused in the framework's own words, whatever is sent.
    ("v2_repository", (errors.ForbiddenError, *_TAKEN)),
    ("v2_", (*_ANSWERING, errors.UnknownVersionError)),
    (
        "mlflow_webhook",
        (
            errors.UnsignedWebhookError,
            errors.SpentWebhookError,
            *_TAKEN,
        ),
    ),
    ("pin", (*_CHANGING, *_BODY)),
    ("reload", _CHANGING),
    ("unpin", _CHANGING),
    ("", _READING),
)
"""What calls can meet, by how their names begin: the first that fits."""
_MLFLOWS_STATUS = {
    errors.ModelFailedError: HTTPStatus.BAD_REQUEST,
    errors.ScoringError: HTTPStatus.BAD_REQUEST,
}
"""Where MLflow's protocol has another one."""
_OF_PROBES = ("health", "ping", "v2_live", "v2_ready")


class Call(NamedTuple):
    """One call, under each path that it has."""

    paths: list[str]
    method: str
    operation: dict[str, Any]
    permission: Permission


class Source(NamedTuple):
    """The document, and what each call wants of its caller."""

    document: dict[str, Any]
    permission_of: PermissionOf


def source() -> Source:
    """Return the document of a service with every call and one model."""
    contract = contract_for(MODEL, _SIGNATURE, refuse_unknown=False)
    serving = Serving(MODEL, VERSION, contract, _EXAMPLE, non_finite_is_null=False)
    model = Described(MODEL, MODEL, is_default=True, serving=serving)
    with tempfile.TemporaryDirectory(prefix="reference-") as folder:
        settings = load_settings({"CACHE_DIR": folder, "WEBHOOK_SECRET": "s" * 32})
        routes = create_app(Deployments(settings)).routes
    handlers = [
        handler
        for route in routes
        if isinstance(route, HTTPRoute)
        for handler in route.route_handlers
    ]
    document = json.loads(write([model], token_wanted=False, hooks=True).body)
    return Source(document, permissions_of(handlers))


def page(about: Source) -> str:
    """Return the page."""
    document = about.document
    lines = [
        "# HTTP reference",
        "",
        _ABOUT,
        "",
        _KEYS,
        "",
    ]
    calls = list(calls_of(about))
    for tag in document["tags"]:
        found = [call for call in calls if call.operation["tags"] == [tag["name"]]]
        if found:
            lines += [f"## {tag['description']}", ""]
            if tag["name"] in _ABOUT_TAGS:
                lines += [_ABOUT_TAGS[tag["name"]], ""]
        for call in found:
            lines += _call(document, call)
    lines += ["## Codes", "", *_codes(), "", "## Schemas", ""]
    for name, schema in document["components"]["schemas"].items():
        lines += [f"### {name}", "", *fields_of(schema), ""]
    return "\n".join(lines).rstrip() + "\n"


def calls_of(about: Source) -> Iterator[Call]:
    """Yield each call once, with the paths under which it is the same."""
    found: dict[str, Call] = {}
    for path, item in about.document["paths"].items():
        for method, operation in item.items():
            permission = about.permission_of(path, method)
            same = json.dumps(
                [method, permission, {**operation, "operationId": "", "parameters": []}]
            )
            named = template(path)
            if same in found:
                found[same].paths.append(named)
            else:
                found[same] = Call([named], method.upper(), operation, permission)
    yield from found.values()


def met_by(call: Call, status: HTTPStatus) -> list[str]:
    """Return the codes of a status that a call can meet."""
    name = call.operation["operationId"].removeprefix("model_")
    if is_probe(name) and (name == "ping" or status is not HTTPStatus.NOT_FOUND):
        return []
    met = next(errors for begin, errors in _MET if name.startswith(begin))
    others = _MLFLOWS_STATUS if name.startswith("invocations") else {}
    statuses = {**STATUS_BY_ERROR, ServiceError: HTTPStatus.INTERNAL_SERVER_ERROR, **others}
    return sorted({error.code for error in met if statuses[error] is status})


def is_probe(called: str) -> bool:
    """Tell whether a call answers whether something can answer, and not with an error."""
    return called.removeprefix("model_").startswith(_OF_PROBES)


def template(path: str) -> str:
    """Return a path with the name of a model where this one's stands."""
    path = re.sub(rf"(?<=/versions/){VERSION}(?=/|$)", "{version}", path)
    return re.sub(rf"/{MODEL}(?=/|$)", "/{name}", path)


def _call(document: dict[str, Any], call: Call) -> Iterator[str]:
    operation = call.operation
    yield f"### `{call.method} {call.paths[0]}`"
    yield ""
    if len(call.paths) > 1:
        yield f"Also {', '.join(f'`{path}`' for path in call.paths[1:])}."
        yield ""
    about = operation["summary"]
    if not about.endswith(("?", ".")):
        about += "."
    yield " ".join(filter(None, [about, operation.get("description", "")]))
    yield ""
    yield f"- **Wants** {KEYS[call.permission]}."
    named = [
        PARAMETERS[one["$ref"].rpartition("/")[2]] if "$ref" in one else one
        for one in operation.get("parameters", ())
    ]
    for one in named:
        must = "" if one.get("required") else " (optional)"
        where = {"path": "in the path", "query": "in the query", "header": "as a header"}[one["in"]]
        text = one.get("description", "")
        kind = "a model" if one["name"] == "name" else in_words(one["schema"])
        yield f"- **Takes** `{one['name']}` {where}{must}: {kind}{'. ' + text if text else ''}."
    if body := operation.get("requestBody"):
        kinds = _kinds(body["content"])
        yield f"- **Body**{'' if body['required'] else ' (optional)'}: {kinds}."
    for status, one in _answers(document, call):
        if status < HTTPStatus.BAD_REQUEST:
            kinds = _kinds(one.get("content", {}))
            told = f"{int(status)}, {one['description']}"
            yield f"- **Answers** {told}{': ' if kinds else ''}{kinds}."
    yield ""
    yield from _errors(document, call)
    yield from _example(document, call)


def _answers(document: dict[str, Any], call: Call) -> Iterator[tuple[HTTPStatus, dict[str, Any]]]:
    """Yield each answer with its status."""
    for status, given in sorted(call.operation["responses"].items()):
        one = given
        if "$ref" in given:
            one = document["components"]["responses"][given["$ref"].rpartition("/")[2]]
        yield HTTPStatus(int(status)), one


def _errors(document: dict[str, Any], call: Call) -> Iterator[str]:
    rows = [
        f"| {int(status)} | {cell(one['description'])} | "
        f"{', '.join(f'`{code}`' for code in met_by(call, status))} |"
        for status, one in _answers(document, call)
        if status >= HTTPStatus.BAD_REQUEST
    ]
    if rows:
        yield from ("| error | when | code |", "|---|---|---|", *rows, "")


def _example(document: dict[str, Any], call: Call) -> Iterator[str]:
    content = call.operation.get("requestBody", {}).get("content", {})
    examples = content.get("application/json", {}).get("examples", {})
    for reference in list(examples.values())[:1]:
        value = document["components"]["examples"][reference["$ref"].rpartition("/")[2]]["value"]
        yield f"```json\n{json.dumps(value)}\n```"
        yield ""


def _kinds(content: dict[str, Any]) -> str:
    told = []
    for kind, one in content.items():
        schema = one.get("schema", {})
        told.append(f"`{kind}`" + (f": {in_words(schema)}" if schema else ""))
    return "; ".join(told)


def _codes() -> Iterator[str]:
    yield (
        "What can go wrong, by its stable code. MLflow's protocol has a name of its own for each "
        "status: "
        + ", ".join(f"{int(status)} `{name}`" for status, name in MLFLOWS_CODES.items())
        + ", and `INTERNAL_ERROR` for any other, unless MLflow's own code names the fault."
    )
    yield ""
    yield "| code | status | what it is |"
    yield "|---|---|---|"
    told: dict[str, tuple[HTTPStatus, str]] = {}
    for error, status in STATUS_BY_ERROR.items():
        told.setdefault(error.code, (status, summary(error)))
    told[errors.ScoringError.code] = HTTPStatus.BAD_REQUEST, summary(errors.ScoringError)
    told[ServiceError.code] = (
        HTTPStatus.INTERNAL_SERVER_ERROR,
        "The service failed; its log says how.",
    )
    for code, (status, text) in sorted(told.items()):
        yield f"| `{code}` | {int(status)} | {cell(text)} |"


def summary(of: object) -> str:
    """Return the first paragraph of a docstring, on one line."""
    return " ".join((of.__doc__ or "").split("\n\n")[0].split())
