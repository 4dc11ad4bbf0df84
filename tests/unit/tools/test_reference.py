"""The pages of the reference: what the service says of its calls, and nothing else."""

from http import HTTPStatus

import pytest

from service.core.errors import CallerGoneError, PermissionDeniedError, ServiceError
from service.handlers.grpc import open_inference_pb2 as messages
from service.handlers.problems import STATUS_BY_ERROR
from tools.reference import grpc_calls, http_calls
from tools.reference.pages import pages

NEVER_TOLD = {
    # Nobody is there to read it.
    CallerGoneError.code,
    # It stands once for all calls, above them.
    PermissionDeniedError.code,
}
WITHOUT_A_CODE = {("v2_repository_load", 400), ("journal", 400)}
"""Refused in the framework's own words: whatever is sent, and a limit out of bounds."""


@pytest.fixture(scope="module")
def source() -> http_calls.Source:
    """Return what the page is made from."""
    return http_calls.source()


def test_each_call_has_its_heading(source: http_calls.Source) -> None:
    """With its key; and what is made again is the same."""
    made = pages()
    assert made == pages()
    documented = {
        (method.upper(), http_calls.template(path))
        for path, item in source.document["paths"].items()
        for method in item
    }
    calls = list(http_calls.calls_of(source))
    assert {(call.method, path) for call in calls for path in call.paths} == documented
    for call in calls:
        _, _, text = made["http.md"].partition(f"### `{call.method} {call.paths[0]}`\n")
        told = text.partition("\n### ")[0]
        assert f"- **Wants** {http_calls.KEYS[call.permission]}." in told
        assert all(f"`{path}`" in told for path in call.paths[1:])


def test_each_error_of_a_call_has_its_codes(source: http_calls.Source) -> None:
    """And each code that a caller can be told is one of some call's."""
    told: set[str] = set()
    for call in http_calls.calls_of(source):
        called = call.operation["operationId"]
        for status in map(HTTPStatus, map(int, call.operation["responses"])):
            codes = http_calls.met_by(call, status)
            told.update(codes)
            if status >= HTTPStatus.BAD_REQUEST and not http_calls.is_probe(called):
                assert codes or (called, status) in WITHOUT_A_CODE, (called, status)
    errors: list[type[ServiceError]] = [*STATUS_BY_ERROR, ServiceError]
    known = {error.code for error in errors}
    assert known - NEVER_TOLD <= told


def test_each_call_and_message_of_the_proto_is_there() -> None:
    """As protoc has read it, with every field."""
    proto = grpc_calls.read()
    file = messages.DESCRIPTOR
    (service,) = file.services_by_name.values()
    assert f"{proto.package}.{proto.service}" == service.full_name
    assert [(one.name, one.request, one.answer) for one in proto.rpcs] == [
        (one.name, one.input_type.name, one.output_type.name) for one in service.methods
    ]
    for name, message in file.message_types_by_name.items():
        assert [field for field, *_ in proto.messages[name].fields] == [
            field.name for field in message.fields
        ]
