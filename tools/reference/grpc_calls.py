"""The reference of gRPC, from the .proto and what the server says of its calls."""

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from http import HTTPStatus
from pathlib import Path

from grpc import StatusCode

from service.core import errors
from service.core.errors import ServiceError
from service.handlers.grpc.calls import Calls
from service.handlers.grpc.faults import CODES, OWN_CODES
from service.handlers.grpc.infer import Infer
from service.handlers.grpc.server import PERMISSIONS
from service.handlers.problems import STATUS_BY_ERROR
from tools.reference.http_calls import KEYS, PREDICTING, summary
from tools.reference.schemas import anchor, cell

PROTO = Path(__file__).parents[2] / "service" / "handlers" / "grpc" / "open_inference.proto"
_ABOUT = """\
The Open Inference Protocol, version 2, on `GRPC_PORT` (the extra `grpc`), with those calls that \
Triton's client makes beside it. Clients generate theirs from \
`service/handlers/grpc/open_inference.proto`, or ask the server for it by reflection. How it is \
meant is in [protocols](../protocols.md)."""
_METADATA = """\
A key is in the metadata `authorization`, as `Bearer KEY` ([who may call](../access.md)). \
Answers have `x-model-name`, `x-model-version` and `x-request-id` as trailing metadata."""
_OF_ERRORS = """\
By status; `code` is what the log and the metrics have, the status' message a sentence. What may \
be tried again has `retry-after` and `grpc-retry-pushback-ms` as metadata."""
_RPC = re.compile(r"rpc (\w+)\((\w+)\) returns \((\w+)\)")
_FIELD = re.compile(r"(repeated )?([\w.]+|map<.+>) (\w+) = (\d+);")
_BEGIN = re.compile(r"(message|enum|service|oneof) (\w+) {(})?")
_NOT_HERE = (
    errors.ForbiddenError,
    errors.MalformedHeaderError,
    errors.UnsupportedContentTypeError,
)
"""What only HTTP has: hosts, headers, kinds of bodies."""
_KEYS = (errors.UnauthorizedError, errors.PermissionDeniedError)
_SCALARS = frozenset(
    ("bool", "bytes", "double", "float", "int32", "int64", "string", "uint32", "uint64")
)


@dataclass
class Message:
    """A message or an enumeration, with what it has."""

    name: str
    fields: list[tuple[str, str, str]] = field(default_factory=list)
    """Name, type, and what the comment above says."""
    is_enum: bool = False


@dataclass
class Rpc:
    """A call of the protocol."""

    name: str
    request: str
    answer: str


@dataclass
class Proto:
    """What the file has."""

    package: str = ""
    service: str = ""
    rpcs: list[Rpc] = field(default_factory=list)
    messages: dict[str, Message] = field(default_factory=dict)


def read() -> Proto:
    """Read the .proto, which has a statement a line."""
    proto, within, comment = Proto(), list[str](), list[str]()
    for raw in PROTO.read_text("utf-8").splitlines():
        line = raw.strip()
        if line.startswith("//"):
            comment.append(line.removeprefix("//").strip())
            continue
        _read_line(line, proto, within, " ".join(comment))
        comment.clear()
    return proto


def _read_line(line: str, proto: Proto, within: list[str], comment: str) -> None:
    if line.startswith("package "):
        proto.package = line.removeprefix("package ").rstrip(";")
    elif rpc := _RPC.match(line):
        proto.rpcs.append(Rpc(*rpc.groups()))
    elif begin := _BEGIN.match(line):
        kind, name, ends = begin.groups()
        if kind == "service":
            proto.service = name
        elif kind != "oneof":
            whole = ".".join([*(one for one in within if one), name])
            proto.messages[whole] = Message(whole, is_enum=kind == "enum")
        if not ends:
            # The fields of a choice are those of the message around it.
            within.append("" if kind in {"oneof", "service"} else name)
    elif line == "}":
        within.pop()
    elif found := _FIELD.match(line):
        repeated, kind, name, _ = found.groups()
        message = proto.messages[".".join(one for one in within if one)]
        message.fields.append((name, f"list of {kind}" if repeated else kind, comment))
    elif value := re.match(r"(\w+) = (\d+);", line):
        proto.messages[within[-1]].fields.append((value[1], value[2], comment))


def page() -> str:
    """Return the page."""
    proto = read()
    lines = [
        "# gRPC reference",
        "",
        _ABOUT,
        "",
        _METADATA,
        "",
        f"## {proto.package}.{proto.service}",
        "",
        *(line for rpc in proto.rpcs for line in _rpc(proto, rpc)),
        "## Beside it",
        "",
        "| call | wants |",
        "|---|---|",
        *_others(proto),
        "",
        "## Errors",
        "",
        _OF_ERRORS,
        "",
        "| status | code |",
        "|---|---|",
        *_errors(),
        "",
        "## Messages",
        "",
    ]
    used = {name for rpc in proto.rpcs for name in (rpc.request, rpc.answer)}
    for message in proto.messages.values():
        if message.fields or message.name not in used:
            lines += [f"### {message.name}", "", *_fields(proto, message), ""]
    return "\n".join(lines).rstrip() + "\n"


def _rpc(proto: Proto, rpc: Rpc) -> Iterator[str]:
    snake = re.sub(r"(?<!^)(?=[A-Z])", "_", rpc.name).lower()
    about = summary(Infer) if rpc.name == "ModelInfer" else summary(getattr(Calls, snake))
    yield f"### {rpc.name}"
    yield ""
    yield about
    yield ""
    yield f"- **Wants** {KEYS[PERMISSIONS[rpc.name]]}."
    yield f"- **Takes** {_linked(proto, rpc.request)}."
    yield f"- **Answers** {_linked(proto, rpc.answer)}."
    yield ""


def _others(proto: Proto) -> Iterator[str]:
    known = {rpc.name for rpc in proto.rpcs}
    services = {"Check": "grpc.health.v1.Health", "Watch": "grpc.health.v1.Health"}
    for name, permission in PERMISSIONS.items():
        if name not in known:
            service = services.get(name, "grpc.reflection.v1alpha.ServerReflection")
            yield f"| `{service}/{name}` | {KEYS[permission]} |"


def _errors() -> Iterator[str]:
    found: dict[str, set[str]] = {}
    met: Iterable[type[ServiceError]] = (
        *PREDICTING,
        errors.UnknownVersionError,
        *_KEYS,
        *OWN_CODES,
    )
    for error in met:
        if error not in _NOT_HERE:
            status = STATUS_BY_ERROR.get(error, HTTPStatus.INTERNAL_SERVER_ERROR)
            code = OWN_CODES.get(error) or CODES.get(status, StatusCode.INTERNAL)
            found.setdefault(code.name, set()).add(f"`{error.code}`")
    for name, codes in sorted(found.items()):
        yield f"| `{name}` | {', '.join(sorted(codes))} |"


def _fields(proto: Proto, message: Message) -> Iterable[str]:
    if not message.fields:
        return ["Nothing."]
    if message.is_enum:
        return [", ".join(f"`{name}` ({number})" for name, number, _ in message.fields) + "."]
    lines = ["| field | type | |", "|---|---|---|"]
    for name, kind, about in message.fields:
        lines.append(f"| `{name}` | {_kind(proto, message, kind)} | {cell(about)} |")
    return lines


def _kind(proto: Proto, message: Message, kind: str) -> str:
    """Return a field's type, with a link where it is another message."""
    of = kind.removeprefix("list of ")
    many = kind[: len(kind) - len(of)]
    if of.startswith("map<"):
        key, value = of.removeprefix("map<").removesuffix(">").split(", ")
        return f"map of {key} to {_kind(proto, message, value)}"
    if of in _SCALARS:
        return many + of
    within = f"{message.name}.{of}"
    return many + _linked(proto, within if within in proto.messages else of)


def _linked(proto: Proto, name: str) -> str:
    return f"[{name}](#{anchor(name)})" if proto.messages[name].fields else f"`{name}`, empty"
