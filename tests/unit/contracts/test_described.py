"""Contracts as JSON Schema."""

from typing import Annotated, Any

import msgspec
import pytest
from msgspec import Meta

from service.contracts import signature as signatures
from service.contracts.choose import contract_for
from service.contracts.contract import Contract
from service.contracts.described import (
    columns_schema,
    input_schemas,
    output_schemas,
    params_schema,
    row_schema,
    rows_schema,
)
from service.contracts.ruled import RuledContract


def column(kind: str, name: str | None = None, **more: Any) -> dict[str, Any]:
    """Return a column as a signature has it."""
    return {"type": kind, **({} if name is None else {"name": name}), **more}


def tensor(dtype: str, *shape: int, **more: Any) -> dict[str, Any]:
    """Return a tensor as a signature has it."""
    return {"type": "tensor", "tensor-spec": {"dtype": dtype, "shape": list(shape)}, **more}


def contract(*inputs: dict[str, Any], **more: Any) -> Contract:
    """Return the contract of a signature."""
    return contract_for("m", {"inputs": list(inputs), **more}, refuse_unknown=False)


class Wine(msgspec.Struct):
    """Rules of a team for two of three inputs."""

    alcohol: Annotated[float, Meta(ge=0, le=20)]
    year: Annotated[int, Meta(ge=1900)]


def test_rules_of_a_struct_narrow_the_types_of_the_signature() -> None:
    """An input without a rule has its type alone."""
    signature = {
        "inputs": [
            column("double", "alcohol"),
            column("integer", "year"),
            column("string", "name"),
        ]
    }
    subject = RuledContract(Wine, signatures.parse(signature), refuse_unknown=True)
    assert input_schemas(subject) == [
        {"type": "number", "minimum": 0, "maximum": 20},
        {"type": "integer", "minimum": 1900, "maximum": 2**31 - 1},
        {"type": "string"},
    ]


def test_the_guides_month_is_a_date() -> None:
    """And its counts have their bounds."""
    kinds = {
        "month": "string",
        **dict.fromkeys(
            ("total_files", "deleted_files_count", "tenant_count", "site_count"), "long"
        ),
        **dict.fromkeys(
            ("avg_file_size_mb", "largest_file_mb", "pct_pdf", "pct_docx", "pct_xlsx"), "double"
        ),
        **dict.fromkeys(("archive_frequency_per_day", "storage_saved_gb"), "double"),
    }
    inputs = [column(kind, name) for name, kind in kinds.items()]
    subject = contract_for("archive-forecast-rf", {"inputs": inputs}, refuse_unknown=False)
    schemas = dict(zip(kinds, input_schemas(subject), strict=True))
    assert schemas["month"] == {"type": "string", "format": "date"}
    assert schemas["total_files"] == {
        "type": "integer",
        "exclusiveMinimum": 0,
        "maximum": 2**63 - 1,
    }
    assert schemas["pct_pdf"] == {"type": "number", "minimum": 0, "maximum": 1}


def test_inputs_without_names_are_a_list() -> None:
    """Of which those at the end may lack that are optional."""
    subject = contract(column("double"), column("string", required=False))
    inputs = input_schemas(subject)
    row = row_schema(subject, inputs, closed=True)
    assert (row["minItems"], row["maxItems"]) == (1, 2)
    assert [one["type"] for one in row["prefixItems"]] == ["number", ["string", "null"]]
    assert "maxItems" not in row_schema(subject, inputs, closed=False)
    assert columns_schema(subject, inputs, closed=True) is None


def test_a_tensor_of_fixed_rows_has_as_many() -> None:
    """Any other has at least one."""
    for first, bounds in ((-1, (1, None)), (3, (3, 3))):
        subject = contract(tensor("float32", first, 2))
        row = row_schema(subject, input_schemas(subject), closed=False)
        assert (row["minItems"], row["maxItems"]) == (2, 2)
        rows = rows_schema(subject, row)
        assert (rows["minItems"], rows.get("maxItems")) == bounds


def test_params_are_of_their_types_and_have_defaults() -> None:
    """Null stands for none of them."""
    params = [
        {"name": "p", "type": "integer", "default": 3, "shape": None},
        {"name": "q", "type": "string", "default": ["x"], "shape": [-1]},
    ]
    schema = params_schema(contract(column("double", "x"), params=params))
    assert schema is not None
    assert schema["type"] == ["object", "null"]
    assert schema["properties"]["p"]["default"] == 3
    assert schema["properties"]["p"]["type"] == ["integer", "null"]
    assert schema["properties"]["q"] == {
        "type": "array",
        "items": {"type": ["string", "null"]},
        "default": ["x"],
    }
    assert params_schema(contract(column("double", "x"))) is None


@pytest.mark.parametrize(
    ("outputs", "schemas"),
    [
        (None, {}),
        ([column("double")], {"prediction": {"type": ["number", "null"]}}),
        ([column("long", "y", required=False)], {"y": {"type": ["integer", "null"]}}),
        (
            [column("double"), column("string")],
            {
                "prediction": {
                    "type": ["array", "null"],
                    "items": {"anyOf": [{"type": "number"}, {"type": "string"}]},
                    "minItems": 2,
                    "maxItems": 2,
                }
            },
        ),
        ([tensor("float32", -1, 1)], {"prediction": {"type": ["number", "null"]}}),
        (
            [tensor("float32", -1, 2, -1)],
            {
                "prediction": {
                    "type": ["array", "null"],
                    "minItems": 2,
                    "maxItems": 2,
                    "items": {"type": "array", "items": {"type": "number"}},
                }
            },
        ),
        (
            [{"type": "array", "items": {"type": "double"}, "name": "l"}],
            {"l": {"type": ["array", "null"], "items": {"type": "number"}}},
        ),
    ],
)
def test_outputs_are_what_the_signature_says(outputs: Any, schemas: dict[str, Any]) -> None:
    """Without bounds, and null for what is left out: an answer is given as the model has it."""
    subject = contract(column("double", "x"), outputs=outputs)
    assert output_schemas(subject, non_finite_is_null=False) == schemas


def test_numbers_at_any_depth_may_be_null_where_the_setting_says_so() -> None:
    """NON_FINITE=null writes them so."""
    subject = contract(column("double", "x"), outputs=[tensor("float64", -1, 2)])
    found = output_schemas(subject, non_finite_is_null=True)
    assert found["prediction"]["items"] == {"type": ["number", "null"]}
