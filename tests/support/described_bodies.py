"""What tells whether a body or an answer fits the document's schemas of a contract."""

import json
from typing import Any

import msgspec
from jsonschema_rs import Draft202012Validator

from service.contracts.contract import Contract
from service.handlers.description import Described, Description, Serving
from service.handlers.predictions.described import describe

JSON = "application/json"


class Validators:
    """Of requests to `/predict`, and of its answers, for one contract."""

    def __init__(
        self, contract: Contract, *, non_finite_is_null: bool = False, formats: bool = True
    ) -> None:
        document = Description()
        serving = Serving("m", "1", contract, b"", non_finite_is_null)
        describe(document, (Described("m", "m", is_default=True, serving=serving),))
        operation = msgspec.json.decode(document.paths["/predict"]["post"])
        components = {"schemas": json.loads(msgspec.json.encode(document.schemas))}

        def validator(part: Any) -> Draft202012Validator:
            schema = {**part["content"][JSON]["schema"], "components": components}
            return Draft202012Validator(schema, validate_formats=formats)

        self.request = validator(operation["requestBody"])
        self.answer = validator(operation["responses"]["200"])


def why_not(validator: Draft202012Validator, value: Any) -> str:
    """Say what of a value does not fit, '' where all of it does."""
    return "; ".join(error.message[:200] for error in validator.iter_errors(value))
