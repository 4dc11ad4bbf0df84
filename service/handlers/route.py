"""Which route a request has taken, for those that tell of it afterwards."""

from collections.abc import Callable
from typing import Any

RouteOf = Callable[[str], str | None]
"""Returns the route of a path that the framework's routing did not see, None where it has none."""


def route_in(scope: Any, route_of: RouteOf) -> str | None:
    """Return the route of a request that was answered, None where it has none."""
    route: str | None = scope.get("path_template")
    return route_of(scope["path"]) if route is None else route
