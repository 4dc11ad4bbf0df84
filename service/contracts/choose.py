"""Find the contract for a model."""

from typing import Any

from service.contracts import signature as signatures
from service.contracts.archive_forecast import MODEL_NAME, ArchiveForecastContract
from service.contracts.contract import Contract
from service.contracts.derived import DerivedContract


def contract_for(name: str, signature: dict[str, Any] | None, *, refuse_unknown: bool) -> Contract:
    """Return the contract of the registered model `name`.

    `signature` is the mapping of that name in the MLmodel file; its parts may be JSON or parsed.
    Raise SignatureError, with what to log, where it is missing or cannot be served.
    """
    parsed = signatures.parse(signature)
    if name == MODEL_NAME and ArchiveForecastContract.fits(parsed):
        return ArchiveForecastContract(parsed, refuse_unknown=refuse_unknown)
    return DerivedContract(parsed, refuse_unknown=refuse_unknown)
