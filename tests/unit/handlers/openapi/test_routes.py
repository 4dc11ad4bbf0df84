"""Every call that the application has is described, and nothing else is."""

import json
import re
from pathlib import Path

from litestar.routes import HTTPRoute

from service.app import create_app
from service.deployments import Deployments
from service.handlers.description import Described
from service.handlers.openapi.document import write
from service.handlers.openapi.page import PAGE_PATH
from service.handlers.permissions import permissions_of
from service.handlers.session_cookie import PAGE
from service.settings.environment import load_settings
from tests.unit.handlers.openapi.test_document import serving

NONE, MAYBE, ONE = '"none"', '[{}, {"token": []}]', '[{"token": []}]'
"""What a call says of the key that it wants."""


def is_of_a_page(path: str) -> bool:
    """Tell whether it is a page of the service's, or what one loads or calls."""
    return path in {"/", PAGE} or path.startswith((f"{PAGE_PATH}/", f"{PAGE}/"))


def test_every_route_is_described(tmp_path: Path) -> None:
    """By its path, whatever the parts in braces are called, and each of its methods."""
    settings = load_settings({"CACHE_DIR": str(tmp_path), "WEBHOOK_SECRET": "s" * 32})
    routes = {
        (re.sub(r"{[^}]*}", "{}", route.path), method.lower())
        for route in create_app(Deployments(settings)).routes
        if isinstance(route, HTTPRoute)
        for method in route.methods
        if method not in {"OPTIONS", "HEAD"}
    }
    model = Described("{", "m", is_default=True, serving=serving())
    document = json.loads(write([model], token_wanted=True, hooks=True).body)
    described = {
        # The name of this model is such a part, and so is its version.
        (re.sub(r"{[^}]*}|%7B|(?<=/versions/)1", "{}", path), method)
        for path, item in document["paths"].items()
        for method in item
    }
    assert {call for call in routes if not is_of_a_page(call[0])} == described


def test_each_call_says_which_key_it_wants(tmp_path: Path) -> None:
    """Where keys are wanted: none for what is open, none or any for health, else one."""
    settings = load_settings({"CACHE_DIR": str(tmp_path), "WEBHOOK_SECRET": "s" * 32})
    routes = [
        route for route in create_app(Deployments(settings)).routes if isinstance(route, HTTPRoute)
    ]
    permission_of = permissions_of(handler for route in routes for handler in route.route_handlers)
    model = Described("a b/{", "m", is_default=True, serving=serving())
    written = write([model], token_wanted=False, hooks=True, permission_of=permission_of)
    document = json.loads(written.body)
    assert "token" in document["components"]["securitySchemes"]
    wanting: dict[str, set[str]] = {}
    for path, item in document["paths"].items():
        for operation in item.values():
            wants = json.dumps(operation.get("security", "none"))
            wanting.setdefault(wants, set()).add(path)
            if wants == ONE:
                assert {"401", "403"} <= set(operation["responses"])
    assert wanting[NONE] == {
        "/docs",
        "/health/live",
        "/ping",
        "/v2/health/live",
        "/webhooks/mlflow",
    }
    assert wanting[MAYBE] == {"/health", "/health/ready", "/v2/health/ready"}
    assert {"/predict", "/invocations", "/metrics", "/models", "/model/pin"} <= wanting[ONE]
