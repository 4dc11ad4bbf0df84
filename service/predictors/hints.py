"""What a type hint says of a model's inputs, beyond the signature that MLflow derives from it."""

from types import NoneType, UnionType
from typing import Any, Union, get_args, get_origin

Spec = dict[str, Any]


def is_hinted(model: Any) -> bool:
    """Tell whether MLflow made the model's signature of a type hint, as it does since 2.20."""
    return bool(getattr(model.metadata, "_is_signature_from_type_hint", bool)())


def with_defaults(signature: Spec, model: Any) -> Spec:
    """Return a parsed signature in which a field with a default is optional, as in the hint.

    MLflow (3.17) calls each field required whose type does not admit None, and then takes data
    without it, for which pydantic has the default. Such a field may be left out, and not be null.
    `model` is what `mlflow.pyfunc.load_model` returned.
    """
    inputs: list[Spec] = signature.get("inputs") or []
    if len(inputs) != 1 or not is_hinted(model):
        return signature
    python_model = getattr(model._model_impl, "python_model", None)  # noqa: SLF001
    hint = getattr(getattr(python_model, "predict_type_hints", None), "input", None)
    arguments = list(get_args(hint))
    if get_origin(hint) is not list or len(arguments) != 1:
        return signature
    described: list[Spec] = [_marked(inputs[0], arguments[0])]
    return {**signature, "inputs": described}


def _marked(spec: Spec, hint: Any) -> Spec:
    """Return what describes a value, with its fields as the hint has them."""
    if get_origin(hint) in {Union, UnionType}:
        kinds = [kind for kind in get_args(hint) if kind is not NoneType]
        return _marked(spec, kinds[0]) if len(kinds) == 1 else spec
    match spec.get("type"), get_args(hint):
        case "array", (items,):
            return {**spec, "items": _marked(spec["items"], items)}
        case "map", (_, values):
            return {**spec, "values": _marked(spec["values"], values)}
        case "object", ():
            fields = getattr(hint, "model_fields", {})
            properties = {
                name: _field(described, fields[name]) if name in fields else described
                for name, described in spec["properties"].items()
            }
            return {**spec, "properties": properties}
    return spec


def _field(spec: Spec, field: Any) -> Spec:
    marked = _marked(spec, field.annotation)
    if spec.get("required", True) and not field.is_required():
        return {**marked, "required": False, "nullable": False}
    return marked
