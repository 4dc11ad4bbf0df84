"""Let a model's own code (`code_paths`) come before modules of the same name, or refuse it.

MLflow puts the model's code folder first on `sys.path`, which does nothing for a name that is in
`sys.modules` already: the model would silently run somebody else's code (mlflow#12395).
"""

import importlib
import sys
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from service.core.errors import ServiceError
from service.processes.inside.late_imports import import_now

OURS = "service"


class ShadowedModuleError(ServiceError):
    """A model ships a module under the name of one that its worker needs itself."""

    code = "shadowed-module"


def make_room(model_path: Path, described: dict[str, Any], late: Iterable[str]) -> None:
    """Make room for the modules that the model in `model_path` ships.

    `described` is its parsed MLmodel file. Our own package leaves `sys.modules`: what needs it here
    holds it already, and the `late` modules, which may be needed later, are imported now. Raise
    ShadowedModuleError for any other module that is loaded, since what holds that one would go on
    with the old and the model with the new.
    """
    shipped = sorted(set(_shipped_names(model_path, described)))
    for name in shipped:
        if name not in sys.modules:
            continue
        if name != OURS:
            raise ShadowedModuleError(
                f"the model ships a module named {name!r} in its code_paths, but the worker has "
                f"loaded {_where(name)} under that name and needs it: rename the model's module"
            )
        import_now(late)
        for loaded in [key for key in sys.modules if key == OURS or key.startswith(OURS + ".")]:
            del sys.modules[loaded]
    if shipped:
        # Not for each model: it writes on pages that the fork server shares, for milliseconds.
        importlib.invalidate_caches()


def _shipped_names(model_path: Path, described: dict[str, Any]) -> Iterator[str]:
    """Yield the top-level module names in the code folders of the model's flavors."""
    folders = {
        flavor["code"]
        for flavor in described.get("flavors", {}).values()
        if isinstance(flavor, dict) and isinstance(flavor.get("code"), str)
    }
    for folder in folders:
        for entry in (model_path / folder).glob("*"):
            if entry.is_dir():
                if entry.name != "__pycache__":
                    yield entry.name
            elif entry.suffix in {".py", ".so", ".pyd"}:
                yield entry.name.partition(".")[0]


def _where(name: str) -> str:
    origin = getattr(sys.modules[name], "__file__", None)
    return str(origin) if origin else "a built-in module"
