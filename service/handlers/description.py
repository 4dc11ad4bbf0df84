"""What each protocol adds its calls to: an OpenAPI document, and the models that it is about."""

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from http import HTTPStatus
from typing import Any, NamedTuple
from urllib.parse import quote

import msgspec

from service.access.principal import Permission
from service.contracts.contract import Contract
from service.contracts.json_schema import Schema
from service.handlers.deadline import HEADER

Operation = dict[str, Any]
"""One call as OpenAPI 3.1 describes it."""

_SCHEMAS = "#/components/schemas/"
_RESPONSES = "#/components/responses/"
_EXAMPLES = "#/components/examples/"
_HEADERS = "#/components/headers/"
_UNNAMEABLE = re.compile(r"[^A-Za-z0-9_.-]+")
HEADERS: dict[str, dict[str, Any]] = {
    "x-model-name": {
        "description": "The registered model, percent-encoded beyond ASCII",
        "schema": {"type": "string"},
    },
    "x-model-version": {
        "description": "The version that answered",
        "schema": {"type": "string"},
    },
    "retry-after": {
        "description": "Seconds after which it may be worth another try",
        "schema": {"type": "integer", "minimum": 1},
    },
    "www-authenticate": {"description": "What is wanted", "schema": {"type": "string"}},
    "etag": {
        "description": "Another one after each change; for If-None-Match",
        "schema": {"type": "string"},
    },
}
"""The headers of answers, by their names."""


def headers(*names: str) -> dict[str, Any]:
    """Return references to headers of these names."""
    return {name: {"$ref": _HEADERS + name} for name in names}


PARAMETERS: dict[str, dict[str, Any]] = {
    "timeout": {
        "name": HEADER.decode(),
        "in": "header",
        "description": "Milliseconds after which no answer is wanted",
        "schema": {"type": "integer", "minimum": 1, "maximum": 10**12 - 1},
    },
}
"""Parameters of several calls, by a name."""
PREDICT_PARAMETERS = [{"$ref": "#/components/parameters/timeout"}]
PREDICT_FAULTS = {
    HTTPStatus.FORBIDDEN: "Under a name that is not this service's own",
    HTTPStatus.NOT_FOUND: "No such model, or none is named and there is no default",
    HTTPStatus.SERVICE_UNAVAILABLE: "No version can answer, or too much is asked",
    HTTPStatus.GATEWAY_TIMEOUT: "No answer within REQUEST_TIMEOUT_S",
}
"""What these statuses mean where predictions are asked for, in whichever protocol."""
BINARY: dict[str, Any] = {}
"""A body that is no text: OpenAPI 3.1 has no schema for one."""
VERSION_HEADERS = headers("x-model-name", "x-model-version")


NO_KEY = "Without a key, or with one that is not known"
OTHER_KEY = "With a key that has no scope for the call, or is not for the model"
PermissionOf = Callable[[str, str], Permission]
"""Returns what a call wants of its caller, by its path and its method."""


class Serving(NamedTuple):
    """What a version is, as far as its callers see it.

    `example` is a body of rows in JSON that it is known to answer, empty for none.
    """

    model_name: str
    version: str
    contract: Contract
    example: bytes
    non_finite_is_null: bool


class Described(NamedTuple):
    """One deployment: its name in paths, and what serves, None where nothing does.

    `word` is its name as identifiers may have it, different for each.
    """

    name: str
    word: str
    is_default: bool
    serving: Serving | None

    @property
    def path(self) -> str:
        """The name as a path has it."""
        return quote(self.name, safe="")


def words_for(names: Iterable[str]) -> dict[str, str]:
    """Return a word for each name, of letters that any identifier may have, and no word twice."""
    found: dict[str, str] = {}
    for name in names:
        base = _UNNAMEABLE.sub("_", name)[:80].strip("_.-") or "model"
        word, count = base, 1
        while word in found.values():
            count += 1
            word = f"{base}_{count}"
        found[name] = word
    return found


class Description:
    """An OpenAPI document as it grows.

    Its parts are written as they come: what is made of thousands of columns is gone with its part,
    and no part holds the interpreter for long.
    """

    def __init__(
        self,
        *,
        token_wanted: bool = False,
        takes_webhooks: bool = False,
        permission_of: PermissionOf | None = None,
    ) -> None:
        self._permission_of = permission_of
        self.keys_wanted = permission_of is not None
        """Whether calls want a key, but for those that are open."""
        self.token_wanted = token_wanted
        """Whether the calls of operators want the ADMIN_TOKEN."""
        self.takes_webhooks = takes_webhooks
        self.paths: dict[str, dict[str, msgspec.Raw]] = {}
        self.schemas: dict[str, msgspec.Raw] = {}
        self.responses: dict[str, msgspec.Raw] = {}
        self.examples: dict[str, msgspec.Raw] = {}

    def add(self, path: str, method: str, operation: Operation) -> None:
        """Add a call, with the key that it wants where keys are wanted."""
        if self._permission_of is not None:
            operation = _keyed(operation, self._permission_of(path, method))
        self.paths.setdefault(path, {})[method] = _written(operation)

    def schema(self, name: str, schema: Schema) -> Schema:
        """Add a schema by its name, once, and return a reference to it."""
        if name not in self.schemas:
            self.schemas[name] = _written(schema)
        return {"$ref": _SCHEMAS + name}

    def response(self, name: str, response: dict[str, Any]) -> dict[str, Any]:
        """Add an answer by its name, once, and return a reference to it."""
        if name not in self.responses:
            self.responses[name] = _written(response)
        return {"$ref": _RESPONSES + name}

    def example(self, name: str, summary: str, value: Any) -> dict[str, Any]:
        """Add an example by its name, once, and return a reference to it."""
        if name not in self.examples:
            self.examples[name] = _written({"summary": summary, "value": value})
        return {"$ref": _EXAMPLES + name}

    def faults(
        self,
        prefix: str,
        meanings: Mapping[HTTPStatus, str],
        media_type: str,
        schema: Schema,
        others: Mapping[HTTPStatus, tuple[str, Schema]] | None = None,
    ) -> dict[str, Any]:
        """Return answers that are errors in a protocol's form; `others` have forms of their own."""
        found = {}
        for status, meaning in sorted(meanings.items()):
            kind, form = (others or {}).get(status, (media_type, schema))
            response = {
                "description": meaning,
                "headers": headers_of_fault(status),
                "content": {kind: {"schema": form}},
            }
            found[str(int(status))] = self.response(f"{prefix}{int(status)}", response)
        return found


def _written(part: dict[str, Any]) -> msgspec.Raw:
    return msgspec.Raw(msgspec.json.encode(part))


def _keyed(operation: Operation, permission: Permission) -> Operation:
    """Return a call with the key that it wants, and what it answers without one."""
    if permission is Permission.OPEN:
        return operation
    if permission is Permission.HEALTH:
        return {**operation, "security": [{}, {"token": []}]}
    denied = {
        "401": {"description": NO_KEY, "headers": headers("www-authenticate")},
        "403": {"description": OTHER_KEY, "headers": headers("www-authenticate")},
    }
    responses = {**denied, **operation.get("responses", {})}
    return {**operation, "security": [{"token": []}], "responses": responses}


def headers_of_fault(status: HTTPStatus) -> dict[str, Any]:
    """Return the headers that an error may have."""
    if status is HTTPStatus.UNAUTHORIZED:
        return headers("www-authenticate")
    if status is HTTPStatus.SERVICE_UNAVAILABLE:
        return {**headers("retry-after"), **VERSION_HEADERS}
    return VERSION_HEADERS


PROBLEM: Schema = {
    "type": "object",
    "description": "Problem details (RFC 9457); some types have more members",
    "properties": {
        "type": {"type": "string"},
        "title": {"type": "string"},
        "status": {"type": "integer"},
        "detail": {"type": "string"},
    },
    "required": ["type", "title", "status", "detail"],
}


def problems(
    document: Description, prefix: str, meanings: Mapping[HTTPStatus, str]
) -> dict[str, Any]:
    """Return errors of a call as problem details."""
    problem = document.schema("Problem", PROBLEM)
    return document.faults(prefix, meanings, "application/problem+json", problem)


def answer(
    description: str, content: Mapping[str, Any], having: Mapping[str, Any] | None = None
) -> dict[str, Any]:
    """Return an answer of these kinds, `having` these headers."""
    found: dict[str, Any] = {"description": description, "content": dict(content)}
    return found | ({"headers": dict(having)} if having else {})


def json_answer(description: str, schema: Schema) -> dict[str, Any]:
    """Return an answer in JSON."""
    return answer(description, {"application/json": {"schema": schema}})


def name_parameter(models: Sequence[Described]) -> dict[str, Any]:
    """Return the part of a path that names a model."""
    schema: Schema = {"type": "string"}
    if models:
        schema["enum"] = [model.name for model in models]
    return {"name": "name", "in": "path", "required": True, "schema": schema}
