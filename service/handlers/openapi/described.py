"""How the document itself is described, and the page that shows it."""

from collections.abc import Sequence
from http import HTTPStatus

from service.handlers.description import (
    VERSION_HEADERS,
    Described,
    Description,
    answer,
    headers,
    problems,
)

_FAULTS = {HTTPStatus.FORBIDDEN: "Under a name that is not this service's own"}
_SAME = "It is the one that If-None-Match names"


def describe(document: Description, models: Sequence[Described]) -> None:
    """Add both."""
    del models
    tagged = headers("etag")
    faults = problems(document, "Docs", _FAULTS)
    content = {"application/json": {"schema": {"type": "object"}}}
    document.add(
        "/schema/openapi.json",
        "get",
        {
            "operationId": "openapi",
            "tags": ["docs"],
            "summary": "This document",
            "responses": {
                "200": answer("OpenAPI 3.1", content, tagged | VERSION_HEADERS),
                "304": {"description": _SAME, "headers": tagged | VERSION_HEADERS},
                **faults,
            },
        },
    )
    document.add(
        "/docs",
        "get",
        {
            "operationId": "docs",
            "tags": ["docs"],
            "summary": "A page that shows it",
            "responses": {
                "200": answer("A page", {"text/html": {"schema": {"type": "string"}}}, tagged),
                "304": {"description": _SAME, "headers": tagged},
                **faults,
            },
        },
    )
