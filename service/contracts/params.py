"""The parameters of a request, as the model's ParamSchema has them."""

from functools import partial
from typing import Any

import msgspec

from service.contracts.faults import decode, violation
from service.contracts.mlflow_types import dec_hook, nested_type, plain
from service.core.errors import SignatureError


class Params:
    """Validates `params` and fills in the defaults, so that equal requests carry equal params."""

    def __init__(self, specs: list[dict[str, Any]], *, refuse_unknown: bool) -> None:
        self._refuse_unknown = refuse_unknown
        self._decoders = {
            str(spec["name"]): msgspec.json.Decoder(param_type(spec), dec_hook=dec_hook)
            for spec in specs
        }
        self._defaults = {str(spec["name"]): spec.get("default") for spec in specs}

    def fill(self, given: dict[str, msgspec.Raw] | None) -> dict[str, Any]:
        """Return the full set. Raise ContractViolationError or MalformedBodyError."""
        filled = dict(self._defaults)
        for name, raw in (given or {}).items():
            path = f"params.{name}"
            decoder = self._decoders.get(name)
            if decoder is not None:
                filled[name] = plain(decode(decoder, raw, path), partial(violation, path))
            elif self._refuse_unknown:
                raise violation(path, "no parameter of this name", decode(_ANY, raw, path))
        return filled


_ANY: "msgspec.json.Decoder[Any]" = msgspec.json.Decoder()


def param_type(spec: dict[str, Any]) -> Any:
    """Return the type of one parameter: a scalar or object (or null), or an array of them."""
    kind = {**spec, "type": spec.get("type") or spec.get("dtype")}
    shape = spec.get("shape")
    if shape is None:
        return nested_type(kind) | None
    if list(shape) == [-1]:
        return list[nested_type(kind) | None]  # type: ignore[misc]
    raise SignatureError(f"the parameter {spec['name']!r} has the shape {shape}: allowed is (-1,)")
