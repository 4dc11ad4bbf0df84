"""What callers would miss if one contract took another's place.

What they send must still be accepted, and what they read must still be there. A pure comparison of
two contracts: what lets a version go live decides what a difference means.

Inputs may be added where they are optional, and may widen: they take what they took, and more.
Outputs may be added, and may take another number type where JSON writes both alike.
"""

from collections.abc import Iterator
from typing import Any

import numpy as np

from service.contracts.archive_forecast import ArchiveForecastContract
from service.contracts.archive_rules import COUNTS
from service.contracts.contract import Contract, Layout
from service.contracts.ruled import RuledContract

Spec = dict[str, Any]
"""An input, output or parameter as MLflow's signature writes it."""

_WIDER = {"integer": {"long", "double"}, "long": {"double"}, "float": {"double"}}
"""Inputs that hold every value of another: JSON's integers are taken where a float is wanted."""

_WHOLE, _ANY_NUMBER = {"integer", "long"}, {"integer", "long", "float", "double"}


def differences(
    incumbent: Contract, candidate: Contract, *, refuse_unknown: bool = False
) -> list[str]:
    """Return what callers of the incumbent would miss, a sentence each; none is compatible.

    With `refuse_unknown` (UNKNOWN_FIELDS=refuse) an input that is dropped is missed too: elsewhere
    it may still be sent, and is ignored.
    """
    return [
        *_inputs(incumbent, candidate, refuse_unknown=refuse_unknown),
        *_params(incumbent, candidate),
        *_outputs(incumbent, candidate),
    ]


# -- what callers send ---------------------------------------------------------------------------


def _inputs(old: Contract, new: Contract, *, refuse_unknown: bool) -> Iterator[str]:
    if old.layout is not new.layout:
        yield f"inputs are {_LAYOUTS[new.layout]}, and were {_LAYOUTS[old.layout]}"
        return
    if isinstance(new, ArchiveForecastContract) and not isinstance(old, ArchiveForecastContract):
        yield "inputs are held to the rules of archive-forecast-rf, and were not"
    if isinstance(new, RuledContract) and getattr(old, "row", None) is not new.row:
        yield f"inputs are held to the rules of {new.row.__qualname__}, and were not"
    before, after = _taken(old), _taken(new)
    for name, spec in before.items():
        if name in after:
            yield from _narrower(f"input {name}", spec, after[name])
        elif refuse_unknown or old.layout is Layout.POSITIONAL:
            yield f"input {name} is gone"
    for name, spec in after.items():
        if name not in before and spec["required"]:
            yield f"input {name} ({_type(spec)}) is new and required"


_LAYOUTS = {
    Layout.COLUMNS: "named columns",
    Layout.POSITIONAL: "columns by position",
    Layout.TENSOR: "a tensor",
    Layout.TENSORS: "named tensors",
}


def _taken(contract: Contract) -> dict[str, Spec]:
    """Return each input as its callers see it."""
    raw = contract.signature["inputs"]
    taken = {
        spec.name: {**as_written, "required": spec.required}
        for spec, as_written in zip(contract.inputs, raw, strict=True)
    }
    if isinstance(contract, ArchiveForecastContract):
        # Its counts are whole numbers for callers, whatever the model takes them as.
        for name in COUNTS:
            if taken[name]["type"] in {"float", "double"}:
                taken[name]["type"] = "long"
    return taken


def _narrower(where: str, old: Spec, new: Spec) -> Iterator[str]:
    """Yield in what way `new` takes less than `old`, by value or by being required."""
    if _required(new) and not _required(old):
        yield f"{where} is required, and was optional"
    kinds = (old["type"], new["type"])
    if kinds == ("tensor", "tensor"):
        yield from _narrower_tensor(where, old["tensor-spec"], new["tensor-spec"])
    elif kinds == ("array", "array"):
        yield from _narrower(f"{where}[]", old["items"], new["items"])
    elif kinds == ("map", "map"):
        yield from _narrower(f"{where}{{}}", old["values"], new["values"])
    elif kinds == ("object", "object"):
        before, after = old["properties"], new["properties"]
        for name, prop in after.items():
            if name in before:
                yield from _narrower(f"{where}.{name}", before[name], prop)
            elif _required(prop):
                yield f"{where}.{name} ({_type(prop)}) is new and required"
    elif kinds[0] != kinds[1] and kinds[1] not in _WIDER.get(kinds[0], ()):
        yield f"{where} is {_type(new)}, and was {_type(old)}"


def _narrower_tensor(where: str, old: Spec, new: Spec) -> Iterator[str]:
    if list(old["shape"]) != list(new["shape"]):
        yield f"{where} has the shape {_shape(new)}, and had {_shape(old)}"
    if not _holds(new["dtype"], old["dtype"]):
        yield f"{where} is of {new['dtype']}, and was of {old['dtype']}"


def _holds(wide: str, narrow: str) -> bool:
    """Tell whether a tensor of one dtype takes every value of another, as JSON writes it."""
    if wide == narrow or (wide.startswith("datetime64") and narrow.startswith("datetime64")):
        return True
    try:
        wide_dtype, narrow_dtype = np.dtype(wide), np.dtype(narrow)
    except TypeError:
        return False
    if {wide_dtype.kind, narrow_dtype.kind} <= set("iuf"):
        return bool(np.can_cast(narrow_dtype, wide_dtype, "safe"))
    return False


def _params(old: Contract, new: Contract) -> Iterator[str]:
    after = {spec["name"]: spec for spec in new.signature["params"] or ()}
    for spec in old.signature["params"] or ():
        name = spec["name"]
        if name not in after:
            yield f"parameter {name} is gone"
        elif _param_type(after[name]) != _param_type(spec):
            yield f"parameter {name} is {_param_type(after[name])}, and was {_param_type(spec)}"


def _param_type(spec: Spec) -> str:
    kind = str(spec.get("type") or spec.get("dtype"))
    return kind if spec.get("shape") is None else f"a list of {kind}"


# -- what callers read ---------------------------------------------------------------------------


def _outputs(old: Contract, new: Contract) -> Iterator[str]:
    if not old.outputs:
        return  # nothing was promised
    if not new.outputs:
        names = ", ".join(output.name for output in old.outputs)
        yield f"the signature names no outputs, and callers read {names}"
        return
    before, after = _given(old), _given(new)
    for name, spec in before.items():
        if name in after:
            yield from _lost(f"output {name}", spec, after[name])
        else:
            yield f"output {name} is gone (there are {', '.join(after)})"


def _given(contract: Contract) -> dict[str, Spec]:
    """Return each output as its readers see it: unnamed ones are one, with several values."""
    raw = contract.signature["outputs"] or []
    if len(raw) == len(contract.outputs):
        specs = [_plain(spec) for spec in raw]
    elif len(contract.outputs) == 1:
        specs = [{"type": "several", "each": raw}]
    else:
        specs = [{"type": output.type} for output in contract.outputs]
    return {output.name: spec for output, spec in zip(contract.outputs, specs, strict=True)}


def _plain(spec: Spec) -> Spec:
    """Return an output as its readers see it: a tensor of one value a row is that value."""
    tensor = spec.get("tensor-spec")
    if tensor is None or tensor["shape"][1:] not in ([], [1]):
        return spec
    return {"type": _SCALARS.get(_kind(tensor["dtype"]), tensor["dtype"])}


_SCALARS = {"f": "double", "i": "long", "b": "boolean", "U": "string"}


def _kind(dtype: str) -> str:
    """Return numpy's letter for a kind of dtype, signed or not; the dtype where it has none."""
    try:
        return np.dtype(dtype).kind.replace("u", "i")
    except TypeError:
        return dtype


def _lost(where: str, old: Spec, new: Spec) -> Iterator[str]:
    """Yield what a reader of `old` would not find in `new`."""
    kinds = (old.get("type", ""), new.get("type", ""))
    if kinds == ("tensor", "tensor"):
        yield from _lost_tensor(where, old["tensor-spec"], new["tensor-spec"])
    elif kinds == ("array", "array"):
        yield from _lost(f"{where}[]", old["items"], new["items"])
    elif kinds == ("map", "map"):
        yield from _lost(f"{where}{{}}", old["values"], new["values"])
    elif kinds == ("object", "object"):
        for name, prop in old["properties"].items():
            if name in new["properties"]:
                yield from _lost(f"{where}.{name}", prop, new["properties"][name])
            else:
                yield f"{where}.{name} is gone"
    elif kinds == ("several", "several"):
        yield from _lost_values(where, old["each"], new["each"])
    elif not _reads_alike(*kinds):
        yield f"{where} is {_type(new)}, and was {_type(old)}"


def _lost_values(where: str, old: list[Spec], new: list[Spec]) -> Iterator[str]:
    if len(old) > len(new):
        yield f"{where} has {len(new)} values, and had {len(old)}"
    for index, (before, after) in enumerate(zip(old, new, strict=False)):
        yield from _lost(f"{where}[{index}]", before, after)


def _lost_tensor(where: str, old: Spec, new: Spec) -> Iterator[str]:
    # How many rows a call has is the caller's choice.
    if list(old["shape"])[1:] != list(new["shape"])[1:]:
        yield f"{where} has the shape {_shape(new)}, and had {_shape(old)}"
    kind, was = _kind(new["dtype"]), _kind(old["dtype"])
    if kind != was and (was, kind) != ("f", "i"):
        yield f"{where} is of {new['dtype']}, and was of {old['dtype']}"


def _reads_alike(old: str, new: str) -> bool:
    """Tell whether JSON that is read as one type can be read from the other."""
    if old in _ANY_NUMBER:
        return new in (_WHOLE if old in _WHOLE else _ANY_NUMBER)
    return old in {new, ""}


def _required(spec: Spec) -> bool:
    return spec.get("required") is not False


def _type(spec: Spec) -> str:
    """Write a type in a word or two."""
    kind = str(spec.get("type", "of no type"))
    match kind:
        case "tensor":
            return f"a tensor of {spec['tensor-spec']['dtype']}"
        case "array":
            return f"array of {_type(spec['items'])}"
        case "map":
            return f"map of {_type(spec['values'])}"
        case "several":
            return f"{len(spec['each'])} values"
    return kind


def _shape(spec: Spec) -> str:
    return f"({', '.join(map(str, spec['shape']))})"
