"""Contracts that teams have written for their own models, found by installed entry points.

An entry point of the group `hotswap.contracts` has the registered model's name as its name. It
names a msgspec Struct, whose constraints and `__post_init__` each row is held to, or a function
that makes a contract: see `docs/contracts.md`. It is code that the operator has installed, and
trusted: it runs in the server process and in workers.
"""

import contextlib
import functools
import sys
from collections.abc import Callable
from importlib.metadata import EntryPoint, entry_points
from typing import Any, TypeGuard

import msgspec

from service.contracts.contract import Contract
from service.core.errors import SignatureError
from service.core.text import presentable

GROUP = "hotswap.contracts"
OWN = (EntryPoint("archive-forecast-rf", "service.contracts.archive_forecast:contract_of", GROUP),)
"""As in pyproject.toml; said here, too, for a service that runs from its sources, not installed."""
_TOO_HEAVY = frozenset(
    {"mlflow", "onnxruntime", "pandas", "pyarrow", "sklearn", "skops", "treelite"}
)
"""What the server process never imports."""

ContractFactory = Callable[..., Any]
"""Called as `factory(signature, refuse_unknown=...)`; None is for a signature it does not fit."""
Plugin = type[msgspec.Struct] | ContractFactory


def plugin_for(name: str, places: tuple[str, ...] | None = None) -> Plugin | None:
    """Return the plug-in for a registered model, None where there is none; imported once.

    `places` says where it is, as `places_of` does where it is installed; None to look here. Raise
    SignatureError, with a sentence for the operator, where it can't be used. May take long: it
    belongs into a thread.
    """
    found = places_of(name) if places is None else places
    if not found:
        return None
    plugin, reason = loaded(found)
    if reason:
        raise _unusable(name, reason)
    return plugin


def places_of(name: str) -> tuple[str, ...]:
    """Return where the plug-in for a registered model is: one place, unless several claim it.

    A worker in another environment is told: what is installed there is not the operator's choice.
    """
    return tuple(sorted(installed().get(name, ())))


def import_own() -> None:
    """Import the contracts that this service brings, and look for those that are installed.

    For a fork server: no worker has to. What others have written is imported where it is needed.
    """
    for one in OWN:
        with contextlib.suppress(SignatureError):
            plugin_for(one.name)


def is_row(plugin: Plugin) -> TypeGuard[type[msgspec.Struct]]:
    """Tell whether a plug-in is what rows are held to."""
    return isinstance(plugin, type) and issubclass(plugin, msgspec.Struct)


@functools.cache
def loaded(values: tuple[str, ...]) -> tuple[Plugin | None, str]:
    """Import a plug-in, and return it, or why it can't be used; the same again for all time.

    What is imported a second time brings nothing new with it, and would seem to be in order.
    """
    if len(values) > 1:
        return None, f"there are several: {' and '.join(values)}"
    (value,) = values
    # A set of all names would write on each name's page, which a worker shares until then.
    before = {name for name in _TOO_HEAVY if name in sys.modules}
    try:
        plugin: Any = EntryPoint("", value, GROUP).load()
    except (Exception, SystemExit) as error:  # noqa: BLE001 - code that somebody else has written
        return None, f"{value} can't be imported: {type(error).__name__}: {error}"
    if heavy := sorted(name for name in _TOO_HEAVY - before if name in sys.modules):
        return None, f"{value} imports {', '.join(heavy)}, and may import msgspec alone"
    if not callable(plugin):
        return None, f"{value} is neither a msgspec Struct nor a function"
    return plugin, ""


def made_by(
    factory: ContractFactory, name: str, signature: dict[str, Any], *, refuse_unknown: bool
) -> Contract | None:
    """Return the contract that a plug-in's function makes. Raise SignatureError as above."""
    try:
        made: Contract | None = factory(signature, refuse_unknown=refuse_unknown)
    except SignatureError:
        raise
    except Exception as error:
        raise _unusable(name, f"it raised {type(error).__name__}: {error}") from error
    if made is not None and not all(hasattr(made, member) for member in _MEMBERS):
        raise _unusable(name, f"it made {type(made).__name__}, which is no contract")
    return made


_MEMBERS = (*Contract.__annotations__, "call_of")


@functools.cache
def installed() -> dict[str, set[str]]:
    """Look once through all that is installed: what is installed later counts from a restart on."""
    found: dict[str, set[str]] = {}
    for one in (*OWN, *entry_points(group=GROUP)):
        found.setdefault(one.name, set()).add(one.value)
    return found


def _unusable(name: str, reason: str) -> SignatureError:
    return SignatureError(
        presentable(f"the contract that is installed for {name} ({GROUP}) is of no use: {reason}")
    )
