"""The hand-written contract of `archive-forecast-rf`, the model that this service was built for."""

from collections.abc import Sequence
from typing import Any

import msgspec
import numpy as np

from service.contracts import archive_rules as rules
from service.contracts import signature as signatures
from service.contracts.contract import Call, Column, Layout, OutputSpec, Values
from service.contracts.faults import violation
from service.contracts.places import Places

OUTPUTS = ("archived_gb", "savings_gb")

_FITS = {
    "month": {"string"},
    **{
        name: {"integer", "long", "float", "double"}
        if name in rules.COUNTS
        else {"float", "double"}
        for name in rules.TYPES
        if name != "month"
    },
}


class ArchiveForecastContract:
    """The rules of `archive-forecast-rf`; see Contract for what the members promise.

    Columns follow the signature's order, and its types: a retrain may have made a count a double.
    """

    layout = Layout.COLUMNS

    def __init__(self, signature: dict[str, Any], *, refuse_unknown: bool) -> None:
        self.signature = signatures.parse(signature)
        self.inputs = signatures.input_specs(
            [{**spec, "required": True} for spec in self.signature["inputs"]]
        )
        named = {spec.get("name") for spec in self.signature["outputs"] or ()} == set(OUTPUTS)
        self.outputs = (
            signatures.output_specs(self.signature["outputs"])
            if named
            else tuple(OutputSpec(name, "double") for name in OUTPUTS)
        )
        self.taken = tuple(rules.taken(spec.name) for spec in self.inputs)
        self.value_types = tuple(rules.TYPES[spec.name] for spec in self.inputs)
        self.refuse_unknown = refuse_unknown
        self._builders = [rules.builder(spec) for spec in self.inputs]
        at = {spec.name: index for index, spec in enumerate(self.inputs)}
        self._month = at["month"]
        self._shares = [at[name] for name in rules.SHARES]

    @staticmethod
    def fits(signature: dict[str, Any]) -> bool:
        """Tell whether a parsed signature has these columns, in types that can hold the values."""
        inputs, outputs = signature["inputs"], signature["outputs"] or []
        kinds = {spec.get("name"): spec.get("type") for spec in inputs}
        if len(inputs) != len(_FITS) or kinds.keys() != _FITS.keys() or signature["params"]:
            return False
        if not all(isinstance(kinds[name], str) and kinds[name] in _FITS[name] for name in _FITS):
            return False
        names = [spec.get("name") for spec in outputs]
        match outputs:
            case [{"type": "tensor", "tensor-spec": {"shape": [_, 2]}}] if names == [None]:
                return True
            case _:
                return not outputs or names == [None, None] or sorted(map(str, names)) == [*OUTPUTS]

    def call_of(
        self,
        rows: int,
        columns: Sequence[Values],
        params: dict[str, msgspec.Raw] | None,
        places: Places,
    ) -> Call:
        """Return the call for values whose types are right; see Contract."""
        if params is not None and self.refuse_unknown:
            raise violation("params", "no field of this name", dict.fromkeys(params))
        specs, at = self.inputs, places.values
        first, second, third = self._shares
        is_typed = isinstance(columns[first], np.ndarray)
        if is_typed:
            # Only msgspec has looked at the bounds.
            for spec, column, place in zip(specs, columns, at, strict=True):
                if isinstance(column, np.ndarray):
                    rules.check_bounds(spec.name, column, place)
        rules.check_months(columns[self._month], at[self._month])
        shares = (columns[first], columns[second], columns[third])
        rules.check_shares(*shares, places.row or at[first])
        built: list[Column]
        if is_typed:
            built = [rules.narrowed(*one) for one in zip(columns, specs, at, strict=True)]
        else:
            built = [
                build(column, place)  # type: ignore[arg-type]
                for build, column, place in zip(self._builders, columns, at, strict=True)
            ]
        return Call(rows, built)


def contract_of(
    signature: dict[str, Any], *, refuse_unknown: bool
) -> ArchiveForecastContract | None:
    """Return the contract for a signature that has these columns, None for any other.

    The entry point of `hotswap.contracts` for `archive-forecast-rf`.
    """
    if not ArchiveForecastContract.fits(signature):
        return None
    return ArchiveForecastContract(signature, refuse_unknown=refuse_unknown)
