"""The types of values as JSON Schema (draft 2020-12, which OpenAPI 3.1 speaks) has them."""

from collections.abc import Mapping, Sequence
from typing import Any

from msgspec import inspect

from service.contracts.mlflow_types import Moment, NestedMoment

Schema = dict[str, Any]

_UINT64_MAX = 2**64 - 1
_MOST_INT64 = 2**63 - 1
_BOUNDS = {
    "ge": "minimum",
    "gt": "exclusiveMinimum",
    "le": "maximum",
    "lt": "exclusiveMaximum",
    "multiple_of": "multipleOf",
    "pattern": "pattern",
}
_LENGTHS = {
    "string": ("minLength", "maxLength"),
    "array": ("minItems", "maxItems"),
    "object": ("minProperties", "maxProperties"),
}
_TEXTS: dict[type, Schema] = {
    inspect.DateTimeType: {"type": "string", "format": "date-time"},
    inspect.DateType: {"type": "string", "format": "date"},
    inspect.TimeType: {"type": "string", "format": "time"},
    inspect.TimeDeltaType: {"type": "string", "format": "duration"},
    inspect.UUIDType: {"type": "string", "format": "uuid"},
    inspect.DecimalType: {"type": "string", "format": "decimal"},
}
NOTHING: Schema = {"not": {}}
"""What no value fits. Not `false`, which some tools can't read."""
BASE64: Schema = {
    "type": "string",
    "contentEncoding": "base64",
    "pattern": "^(?:[A-Za-z0-9+/]{4})*(?:[A-Za-z0-9+/]{2}==|[A-Za-z0-9+/]{3}=)?$",
}
MOMENT: Schema = {"type": "string", "format": "date-time"}


def schema_of(kind: Any) -> Schema:
    """Return the schema of what msgspec reads as this type, whole: without references.

    `{}`, which anything fits, for a type that is not known here.
    """
    return _of(inspect.type_info(kind))


def nullable(schema: Schema) -> Schema:
    """Return the schema of the same or null."""
    kind = schema.get("type")
    if not schema or kind == "null" or (isinstance(kind, list) and "null" in kind):
        return schema
    if isinstance(kind, str) and not schema.keys() & {"enum", "const"}:
        return {**schema, "type": [kind, "null"]}
    others = schema["anyOf"] if schema.keys() == {"anyOf"} else [schema]
    return {"anyOf": [*others, {"type": "null"}]}


def both(first: Schema, second: Schema) -> Schema:
    """Return the schema of what fits both: the narrower bounds where they have one type."""
    if first.get("type") == second.get("type") and _is_plain(first) and _is_plain(second):
        narrower = {**first, **second}
        for word, narrow in (("minimum", max), ("maximum", min)):
            found = [schema[word] for schema in (first, second) if word in schema]
            if found:
                narrower[word] = narrow(found)
        return narrower
    return {"allOf": [first, second]}


def _is_plain(schema: Schema) -> bool:
    return isinstance(schema.get("type"), str) and schema["type"] not in {"array", "object"}


def list_of(items: Schema, *, least: int = 0) -> Schema:
    """Return the schema of a list."""
    return {"type": "array", "items": items} | ({"minItems": least} if least else {})


def tuple_of(items: Sequence[Schema], *, least: int | None = None, closed: bool = True) -> Schema:
    """Return the schema of a list of these, with `least` of them; a `closed` one has no more."""
    schema: Schema = {
        "type": "array",
        "prefixItems": list(items),
        "minItems": len(items) if least is None else least,
    }
    return schema | ({"maxItems": len(items)} if closed else {})


def object_of(fields: Mapping[str, Schema], required: list[str], *, closed: bool) -> Schema:
    """Return the schema of an object; a `closed` one has no other fields."""
    schema: Schema = {"type": "object", "properties": dict(fields)}
    if required:
        schema["required"] = required
    schema["additionalProperties"] = not closed
    return schema


def _of(info: inspect.Type) -> Schema:  # noqa: C901, PLR0911, PLR0912 - one for each kind
    match info:
        case inspect.Metadata():
            return {**_of(info.type), **(info.extra_json_schema or {})}
        case inspect.BoolType():
            return {"type": "boolean"}
        case inspect.IntType():
            return _integer(info)
        case inspect.FloatType():
            return {"type": "number", **_bounds(info)}
        case inspect.StrType():
            return _sized({"type": "string", **_bounds(info)}, info)
        case inspect.BytesType() | inspect.ByteArrayType() | inspect.MemoryViewType():
            return dict(BASE64)
        case inspect.NoneType():
            return {"type": "null"}
        case inspect.CustomType() if info.cls in {Moment, NestedMoment}:
            return dict(MOMENT)
        case inspect.ListType() | inspect.VarTupleType() | inspect.SetType():
            return _sized(list_of(_of(info.item_type)), info)
        case inspect.TupleType():
            return tuple_of([_of(item) for item in info.item_types])
        case inspect.DictType():
            values = _of(info.value_type)
            return _sized({"type": "object", "additionalProperties": values}, info)
        case inspect.TypedDictType() | inspect.DataclassType():
            return _fields(info.fields, closed=False)
        case inspect.StructType() if info.array_like:
            return list_of({})
        case inspect.StructType():
            return _fields(info.fields, closed=info.forbid_unknown_fields)
        case inspect.UnionType():
            return _union(info)
        case inspect.LiteralType():
            return {"enum": list(info.values)}
        case inspect.EnumType():
            return {"enum": [member.value for member in info.cls]}
    return dict(_TEXTS.get(type(info), {}))


def _integer(info: inspect.IntType) -> Schema:
    schema = {"type": "integer", **_bounds(info)}
    if "maximum" not in schema and "exclusiveMaximum" not in schema:
        # The columns check what msgspec has no bound for.
        unsigned = schema.get("minimum", -1) >= 0
        schema["maximum"] = _UINT64_MAX if unsigned else _MOST_INT64
    return schema


def _bounds(info: Any) -> Schema:
    return {
        word: bound
        for name, word in _BOUNDS.items()
        if (bound := getattr(info, name, None)) is not None
    }


def _sized(schema: Schema, info: Any) -> Schema:
    for name, word in zip(("min_length", "max_length"), _LENGTHS[schema["type"]], strict=True):
        if (bound := getattr(info, name, None)) is not None:
            schema[word] = bound
    return schema


def _fields(fields: Any, *, closed: bool) -> Schema:
    return object_of(
        {field.encode_name: _of(field.type) for field in fields},
        [field.encode_name for field in fields if field.required],
        closed=closed,
    )


def _union(info: inspect.UnionType) -> Schema:
    """Return what fits any of these; null is one more type of a single other one."""
    others = [one for one in info.types if not isinstance(one, inspect.NoneType)]
    schemas = [_of(one) for one in others]
    schema = schemas[0] if len(schemas) == 1 else {"anyOf": schemas}
    return nullable(schema) if info.includes_none else schema
