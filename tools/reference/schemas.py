"""Say in a few words what a JSON Schema takes, and in a table what an object has."""

from typing import Any

from service.codecs.inference.datatypes import KNOWN

Schema = dict[str, Any]

_SCHEMAS = "#/components/schemas/"
_BOUNDS = (
    ("minimum", "from {}"),
    ("exclusiveMinimum", "above {}"),
    ("maximum", "to {}"),
    ("exclusiveMaximum", "below {}"),
    ("maxLength", "{} characters at most"),
)
_INT64 = {2**63 - 1, -(2**63)}
"""Bounds that an integer has anyway."""


def anchor(name: str) -> str:
    """Return what the heading of a schema is called in links."""
    return "".join(letter for letter in name.lower() if letter.isalnum() or letter in "_-")


def in_words(schema: Schema) -> str:
    """Return what a schema takes, on one line."""
    if reference := schema.get("$ref"):
        name = str(reference).removeprefix(_SCHEMAS)
        return f"[{name}](#{anchor(name)})"
    for word in ("anyOf", "oneOf"):
        if word in schema:
            return " or ".join(dict.fromkeys(in_words(one) for one in schema[word]))
    if "const" in schema:
        return f"`{_literal(schema['const'])}`"
    if schema.get("enum") == list(KNOWN):
        return "a datatype"
    if "enum" in schema:
        return " or ".join(f"`{_literal(value)}`" for value in schema["enum"])
    kinds = schema.get("type", "anything")
    told = " or ".join(
        _of_kind(kind, schema) for kind in ([kinds] if isinstance(kinds, str) else kinds)
    )
    bounds = [
        words.format(schema[word])
        for word, words in _BOUNDS
        if word in schema and schema[word] not in _INT64
    ]
    return f"{told}, {' '.join(bounds)}" if bounds else told


def _of_kind(kind: str, schema: Schema) -> str:
    if kind == "array":
        if "prefixItems" in schema:
            return f"list: {'; '.join(in_words(one) for one in schema['prefixItems'])}"
        items = schema.get("items")
        if not items:
            return "list"
        of = in_words(items)
        return f"list of ({of})" if " or " in of and "type" not in items else f"list of {of}"
    if kind == "object" and schema.get("properties"):
        fields = ", ".join(
            f"`{name}` ({in_words(one)})" for name, one in present(schema["properties"]).items()
        )
        return f"object of {fields}"
    form = schema.get("format")
    return f"{kind} ({form})" if form and kind == "string" else kind


def present(fields: dict[str, Schema]) -> dict[str, Schema]:
    """Return the fields that may be there: not those that nothing fits."""
    return {name: schema for name, schema in fields.items() if schema != {"not": {}}}


def fields_of(schema: Schema) -> list[str]:
    """Return the lines of a table of an object's fields, or one line for any other schema."""
    if schema.get("type") != "object" or not schema.get("properties"):
        return [in_words(schema)[:1].upper() + in_words(schema)[1:] + "."]
    required = schema.get("required", [])
    lines = ["| field | what it is | |", "|---|---|---|"]
    for name, one in present(schema["properties"]).items():
        about = [in_words(one)]
        if "default" in one:
            about.append(f"default `{_literal(one['default'])}`")
        if "description" in one:
            about.append(one["description"])
        wanted = "always there" if name in required else ""
        lines.append(f"| `{name}` | {cell('; '.join(about))} | {wanted} |")
    if not schema.get("additionalProperties", True):
        lines += ["", "No other fields."]
    return lines


def cell(text: str) -> str:
    """Return a text as it may stand in a table."""
    return text.replace("|", "\\|").replace("\n", " ")


def _literal(value: Any) -> str:
    return {True: "true", False: "false", None: "null"}.get(value, str(value))
