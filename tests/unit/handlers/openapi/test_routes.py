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
from service.settings.environment import load_settings
from tests.unit.handlers.openapi.test_document import serving

NOT_DESCRIBED = {f"{PAGE_PATH}/{{}}"}
"""What the page loads is nobody's to call."""


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
    assert {call for call in routes if call[0] not in NOT_DESCRIBED} == described
