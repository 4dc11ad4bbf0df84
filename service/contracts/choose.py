"""Find the contract for a model."""

from typing import Any

from service.contracts import signature as signatures
from service.contracts.contract import Contract
from service.contracts.derived import DerivedContract
from service.contracts.plugins import is_row, made_by, plugin_for
from service.contracts.ruled import RuledContract


def contract_for(
    name: str,
    signature: dict[str, Any] | None,
    *,
    refuse_unknown: bool,
    plugins: tuple[str, ...] | None = None,
) -> Contract:
    """Return the contract of the registered model `name`.

    `plugins` are the places of those that were written for it, None to look for them here.
    `signature` is the mapping of that name in the MLmodel file; its parts may be JSON or parsed.
    Raise SignatureError, with what to log, where it is missing or cannot be served, and where what
    is installed for this model is of no use. The first call may take long.
    """
    parsed = signatures.parse(signature)
    plugin = plugin_for(name, plugins)
    made: Contract | None = None
    if plugin is not None and is_row(plugin):
        made = RuledContract(plugin, parsed, refuse_unknown=refuse_unknown)
    elif plugin is not None:
        made = made_by(plugin, name, parsed, refuse_unknown=refuse_unknown)
    return made or DerivedContract(parsed, refuse_unknown=refuse_unknown)
