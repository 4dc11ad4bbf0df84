"""Import modules of ours when they are first needed, also after a model has taken their names."""

import contextlib
import functools
import importlib
from collections.abc import Iterable
from types import ModuleType


@functools.cache
def late_import(name: str) -> ModuleType:
    """Import a module, once in a process and those that it forks. Raise ImportError.

    What was imported by this is found again even where `sys.modules` no longer has it.
    """
    return importlib.import_module(name)


def import_now(names: Iterable[str]) -> None:
    """Import these modules for later calls of `late_import`; what can't be imported fails there."""
    for name in names:
        with contextlib.suppress(ImportError):
            late_import(name)
