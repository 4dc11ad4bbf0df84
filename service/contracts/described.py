"""A contract in JSON Schema: what callers send, and what they get, for people and for tools."""

from collections.abc import Sequence
from typing import Any

import msgspec

from service.contracts import signature as signatures
from service.contracts.contract import Contract, Layout
from service.contracts.json_schema import (
    Schema,
    both,
    list_of,
    nullable,
    object_of,
    schema_of,
    tuple_of,
)
from service.contracts.mlflow_types import SCALARS, element_type, nested_type
from service.contracts.params import param_type
from service.contracts.ruled import RuledContract


def input_schemas(contract: Contract) -> list[Schema]:
    """Return the schema of a value of each input, with the bounds that a rule of a field adds."""
    known: dict[Any, Schema] = {}
    schemas = []
    for kind in contract.value_types:
        # Thousands of columns have a few types.
        key = repr(kind)
        if key not in known:
            known[key] = schema_of(kind)
        schemas.append(known[key])
    if not isinstance(contract, RuledContract):
        return schemas
    rules = {field.encode_name: field.type for field in msgspec.structs.fields(contract.row)}
    return [
        both(schema, schema_of(rules[spec.name])) if spec.name in rules else schema
        for spec, schema in zip(contract.inputs, schemas, strict=True)
    ]


def row_schema(contract: Contract, inputs: Sequence[Schema], *, closed: bool) -> Schema:
    """Return the schema of one row; a `closed` one has no fields beside the inputs."""
    if contract.layout is Layout.TENSOR:
        return inputs[0]
    if contract.layout is Layout.POSITIONAL:
        required = [index for index, spec in enumerate(contract.inputs) if spec.required]
        return tuple_of(inputs, least=required[-1] + 1 if required else 0, closed=closed)
    return _named(contract, inputs, closed=closed)


def columns_schema(contract: Contract, inputs: Sequence[Schema], *, closed: bool) -> Schema | None:
    """Return the schema of an object of columns, None for inputs without names."""
    if contract.layout not in {Layout.COLUMNS, Layout.TENSORS}:
        return None
    schema = _named(contract, [list_of(one, least=1) for one in inputs], closed=closed)
    return schema if "required" in schema else schema | {"minProperties": 1}


def _named(contract: Contract, schemas: Sequence[Schema], *, closed: bool) -> Schema:
    pairs = zip((spec.name for spec in contract.inputs), schemas, strict=True)
    required = [spec.name for spec in contract.inputs if spec.required]
    return object_of(dict(pairs), required, closed=closed)


def rows_schema(contract: Contract, row: Schema) -> Schema:
    """Return the schema of a list of rows: at least one, or as many as a tensor always has."""
    schema = list_of(row, least=1)
    fixed = signatures.fixed_rows(contract.signature["inputs"])
    return schema if fixed is None else schema | {"minItems": fixed, "maxItems": fixed}


def params_schema(contract: Contract) -> Schema | None:
    """Return the schema of the parameters, each with its default; None where there are none."""
    specs = contract.signature["params"]
    if not specs:
        return None
    fields = {}
    for spec in specs:
        schema = schema_of(param_type(spec))
        if "default" in spec:
            schema = schema | {"default": spec["default"]}
        fields[str(spec["name"])] = schema
    return nullable(object_of(fields, [], closed=contract.refuse_unknown))


def output_schemas(contract: Contract, *, non_finite_is_null: bool) -> dict[str, Schema]:
    """Return the schema of a row's value of each output, as far as the signature says it.

    Empty where it says nothing: then the model's own answer decides the names.
    """
    raw = contract.signature["outputs"] or []
    schemas = {}
    for index, spec in enumerate(contract.outputs):
        described = raw[index] if len(raw) == len(contract.outputs) else {}
        if len(raw) > 1 and len(contract.outputs) == 1:
            # Several outputs without names are one list.
            items = [_output(str(one.get("type", "")), one) for one in raw]
            schema = _list_of_each(items)
        else:
            schema = _output(spec.type, described)
        if non_finite_is_null:
            schema = _with_nulls(schema)
        # Whatever the signature says: a value that the model leaves out is null.
        schemas[spec.name] = nullable(schema)
    return schemas


def _output(kind: str, described: dict[str, Any]) -> Schema:
    if kind in SCALARS:
        return _unbounded(schema_of(SCALARS[kind][0]))
    if kind == "tensor":
        return _tensor(described)
    if described:
        return schema_of(nested_type(described))
    return {}


def _tensor(described: dict[str, Any]) -> Schema:
    spec = described.get("tensor-spec")
    if spec is None:
        return {}
    shape = list(spec["shape"][1:])
    schema = _unbounded(element_schema(spec["dtype"]))
    for size in [] if shape == [1] else reversed(shape):
        schema = list_of(schema)
        if size >= 0:
            schema |= {"minItems": size, "maxItems": size}
    return schema


def element_schema(dtype: str) -> Schema:
    """Return the schema of an element of a tensor."""
    return schema_of(element_type(dtype)[0])


def _unbounded(schema: Schema) -> Schema:
    """Return a schema without bounds: an answer is given as the model has it, and not cast."""
    return {word: schema[word] for word in schema if word not in {"minimum", "maximum"}}


def _list_of_each(items: list[Schema]) -> Schema:
    different = [item for index, item in enumerate(items) if item not in items[:index]]
    one = different[0] if len(different) == 1 else {"anyOf": different}
    return list_of(one) | {"minItems": len(items), "maxItems": len(items)}


def _with_nulls(schema: Schema) -> Schema:
    """Return a schema in which each number with a fraction may be null."""
    if schema.get("type") == "number":
        return nullable(schema)
    found = dict(schema)
    for word in ("items", "additionalProperties"):
        if isinstance(found.get(word), dict):
            found[word] = _with_nulls(found[word])
    if "properties" in found:
        found["properties"] = {k: _with_nulls(v) for k, v in found["properties"].items()}
    if "anyOf" in found:
        found["anyOf"] = [_with_nulls(one) for one in found["anyOf"]]
    return found
