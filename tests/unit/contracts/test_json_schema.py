"""Types as JSON Schema."""

from datetime import date
from enum import Enum
from typing import Annotated, Any, Literal

import msgspec
import pytest
from msgspec import Meta

from service.contracts.json_schema import BASE64, both, list_of, nullable, schema_of
from service.contracts.mlflow_types import SCALARS, nested_type


class Colour(Enum):
    """Some texts."""

    RED = "red"
    BLUE = "blue"


class Row(msgspec.Struct, forbid_unknown_fields=True, rename={"b": "the b"}):
    """A struct of two fields."""

    a: int
    b: str = ""


INT64 = {"type": "integer", "minimum": -(2**63), "maximum": 2**63 - 1}


@pytest.mark.parametrize(
    ("kind", "schema"),
    [
        (SCALARS["boolean"][0], {"type": "boolean"}),
        (SCALARS["integer"][0], {"type": "integer", "minimum": -(2**31), "maximum": 2**31 - 1}),
        (SCALARS["long"][0], INT64),
        (SCALARS["double"][0], {"type": "number"}),
        (SCALARS["binary"][0], BASE64),
        (SCALARS["datetime"][0], {"type": "string", "format": "date-time"}),
        (Annotated[int, Meta(ge=0)], {"type": "integer", "minimum": 0, "maximum": 2**64 - 1}),
        (Annotated[float, Meta(gt=0, lt=1)], {"exclusiveMinimum": 0, "exclusiveMaximum": 1}),
        (Annotated[str, Meta(min_length=1, pattern="^a")], {"minLength": 1, "pattern": "^a"}),
        (Annotated[list[bool], Meta(max_length=2)], {"maxItems": 2, "items": {"type": "boolean"}}),
        (date, {"type": "string", "format": "date"}),
        (str | None, {"type": ["string", "null"]}),
        (int | str | None, {"anyOf": [{"type": "integer"}, {"type": "string"}, {"type": "null"}]}),
        (Literal["a", "b"], {"enum": ["a", "b"]}),
        (Colour, {"enum": ["red", "blue"]}),
        (tuple[int, str], {"minItems": 2, "maxItems": 2}),
        (dict[str, bool], {"type": "object", "additionalProperties": {"type": "boolean"}}),
        (Row, {"required": ["a"], "additionalProperties": False}),
        (Any, {}),
        (complex, {}),
    ],
)
def test_a_type_has_its_bounds(kind: Any, schema: dict[str, Any]) -> None:
    """And what is not known fits anything."""
    found = schema_of(kind)
    if "anyOf" in schema:
        assert [one["type"] for one in found["anyOf"]] == [one["type"] for one in schema["anyOf"]]
    else:
        assert {**found, **schema} == found
    assert bool(found) == bool(schema)


def test_a_structs_fields_have_their_names() -> None:
    """As JSON has them."""
    assert list(schema_of(Row)["properties"]) == ["a", "the b"]


def test_nested_types_are_whole() -> None:
    """Objects within objects have no references, which two of one name would share."""
    inner = {"type": "object", "properties": {"b": {"type": "long", "required": True}}}
    outer = {"type": "object", "properties": {"a": {**inner, "required": False}}}
    assert schema_of(nested_type({"type": "array", "items": outer})) == list_of(
        {
            "type": "object",
            "properties": {
                "a": {
                    "type": ["object", "null"],
                    "properties": {"b": INT64},
                    "required": ["b"],
                    "additionalProperties": True,
                }
            },
            "additionalProperties": True,
        }
    )


def test_null_is_one_more_type() -> None:
    """Once, and beside values that are listed too."""
    once = nullable({"type": "string"})
    assert nullable(once) == once == {"type": ["string", "null"]}
    assert nullable({"enum": [1]}) == {"anyOf": [{"enum": [1]}, {"type": "null"}]}
    assert nullable({}) == {}


def test_both_has_the_narrower_bounds() -> None:
    """Of one type; of others both are said."""
    first = {"type": "integer", "minimum": 0, "maximum": 9}
    second = {"type": "integer", "minimum": 2, "maximum": 20, "multipleOf": 2}
    assert both(first, second) == {**second, "maximum": 9}
    lists = list_of({}), list_of({"type": "string"})
    assert both(*lists) == {"allOf": list(lists)}
