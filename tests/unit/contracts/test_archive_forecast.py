"""The rules of `archive-forecast-rf`."""

import json
from typing import Any

import numpy as np
import pytest

from service.contracts.archive_forecast import ArchiveForecastContract
from service.contracts.choose import contract_for
from service.contracts.contract import Contract
from service.contracts.derived import DerivedContract
from service.core.errors import ContractViolationError
from tests.support.envelopes import decoded

ROW: dict[str, Any] = {
    "month": "2024-03-01",
    "total_files": 12000,
    "avg_file_size_mb": 1.5,
    "largest_file_mb": 900,
    "pct_pdf": 0.5,
    "pct_docx": 0.25,
    "pct_xlsx": 0.25,
    "archive_frequency_per_day": 3.5,
    "storage_saved_gb": 12.0,
    "deleted_files_count": 0,
    "tenant_count": 4,
    "site_count": 9,
}
KINDS = {
    name: "string" if isinstance(value, str) else "long" if "count" in name else "double"
    for name, value in ROW.items()
} | {"total_files": "long"}
TWO_COLUMNS = [{"type": "tensor", "tensor-spec": {"dtype": "float64", "shape": [-1, 2]}}]


def contract(
    name: str = "archive-forecast-rf", *, refuse: bool = False, outputs: Any = None, **kinds: str
) -> Contract:
    """Choose the contract of a model with these columns."""
    inputs = [
        {"type": kind, "name": key, "required": True} for key, kind in (KINDS | kinds).items()
    ]
    signature = {"inputs": json.dumps(inputs), "outputs": json.dumps(outputs or TWO_COLUMNS)}
    return contract_for(name, signature, refuse_unknown=refuse)


def decode(subject: Contract, *rows: dict[str, Any]) -> dict[str, Any]:
    """Return the decoded columns as lists, by name."""
    call = decoded(subject, json.dumps({"instances": rows}).encode())
    return {
        spec.name: np.frombuffer(column, spec.dtype).tolist()
        if isinstance(column, bytes)
        else column
        for spec, column in zip(subject.inputs, call.columns, strict=True)
    }


def test_a_good_row_reaches_the_model_as_it_came() -> None:
    """The month as the caller's string, integers where a float is wanted as floats."""
    columns = decode(contract(), ROW, {**ROW, "pct_pdf": 0})
    assert {name: values[0] for name, values in columns.items()} == ROW
    assert isinstance(columns["largest_file_mb"][0], float)


@pytest.mark.parametrize(
    ("change", "path"),
    [
        ({"month": "2023-02-29"}, ".month"),
        ({"month": "2024-3-1"}, ".month"),
        ({"month": "20240301"}, ".month"),
        ({"month": "2024-W10-1"}, ".month"),
        ({"month": "٢٠٢٤-03-01"}, ".month"),
        ({"month": "2024-03-01 "}, ".month"),
        ({"month": 20240301}, ".month"),
        ({"total_files": 0}, ".total_files"),
        ({"total_files": -1}, ".total_files"),
        ({"total_files": 1.0}, ".total_files"),
        ({"total_files": "1"}, ".total_files"),
        ({"total_files": True}, ".total_files"),
        ({"total_files": 2**63}, ".total_files"),
        ({"tenant_count": -1}, ".tenant_count"),
        ({"site_count": None}, ".site_count"),
        ({"avg_file_size_mb": -0.1}, ".avg_file_size_mb"),
        ({"avg_file_size_mb": "1"}, ".avg_file_size_mb"),
        ({"avg_file_size_mb": False}, ".avg_file_size_mb"),
        ({"storage_saved_gb": -1}, ".storage_saved_gb"),
        ({"pct_pdf": 1.1}, ".pct_pdf"),
        ({"pct_pdf": -0.1}, ".pct_pdf"),
        ({"pct_pdf": 0.6}, ""),
        ({"pct_pdf": 0.5 + 2e-9}, ""),
    ],
)
def test_a_broken_rule_is_told_with_its_row(change: dict[str, Any], path: str) -> None:
    """The first two rows are good."""
    with pytest.raises(ContractViolationError) as caught:
        decode(contract(), ROW, ROW, {**ROW, **change})
    assert (caught.value.path, caught.value.row) == (f"instances[2]{path}", 2)


def test_shares_may_exceed_one_by_rounding() -> None:
    """By a billionth."""
    assert decode(contract(), {**ROW, "pct_pdf": 0.5 + 5e-10})["pct_docx"] == [0.25]


def test_every_field_is_required() -> None:
    """Each by its name."""
    for name in ROW:
        with pytest.raises(ContractViolationError) as caught:
            decode(contract(), {key: value for key, value in ROW.items() if key != name})
        assert caught.value.path == f"instances[0].{name}"


def test_unknown_fields_are_ignored_unless_they_are_to_be_refused() -> None:
    """A client may send a column before the version that wants it is live."""
    assert decode(contract(), {**ROW, "new": 1})["month"] == ["2024-03-01"]
    with pytest.raises(ContractViolationError) as caught:
        decode(contract(refuse=True), {**ROW, "new": 1})
    assert caught.value.path == "instances[0].new"


def test_columns_have_the_types_of_the_signature() -> None:
    """A retrain may have made a count a double or a 32-bit integer."""
    subject = contract(total_files="double", tenant_count="integer", pct_pdf="float")
    assert isinstance(subject, ArchiveForecastContract)
    assert [spec.dtype for spec in subject.inputs if spec.name in {"total_files", "pct_pdf"}] == [
        "float64",
        "float32",
    ]
    assert decode(subject, ROW)["total_files"] == [12000.0]
    with pytest.raises(ContractViolationError) as caught:
        decode(subject, ROW, {**ROW, "tenant_count": 2**31})
    assert caught.value.path == "instances[1].tenant_count"


@pytest.mark.parametrize(
    "subject",
    [
        contract("another-model"),
        contract(month="datetime"),
        contract(total_files="string"),
        contract(pct_pdf="long"),
        contract(another_column="double"),
        contract(outputs=[{"type": "tensor", "tensor-spec": {"dtype": "float64", "shape": [-1]}}]),
        contract(outputs=[{"type": "double", "name": "y"}, {"type": "double", "name": "z"}]),
    ],
)
def test_a_model_with_other_columns_has_a_derived_contract(subject: Contract) -> None:
    """As has any other name."""
    assert isinstance(subject, DerivedContract)


@pytest.mark.parametrize(
    "outputs",
    [
        TWO_COLUMNS,
        [{"type": "double"}, {"type": "double"}],
        [{"type": "double", "name": "archived_gb"}, {"type": "double", "name": "savings_gb"}],
    ],
)
def test_the_answers_are_named_whether_or_not_the_signature_names_them(outputs: Any) -> None:
    """By name or by position."""
    subject = contract(outputs=outputs)
    assert isinstance(subject, ArchiveForecastContract)
    assert [spec.name for spec in subject.outputs] == ["archived_gb", "savings_gb"]


@pytest.mark.parametrize(
    ("change", "path"),
    [
        ({"month": "2023-02-29"}, "month"),
        ({"month": 20240301}, "month"),
        ({"total_files": 0}, "total_files"),
        ({"total_files": 1.0}, "total_files"),
        ({"total_files": 2**63}, "total_files"),
        ({"site_count": None}, "site_count"),
        ({"avg_file_size_mb": -0.1}, "avg_file_size_mb"),
        ({"pct_pdf": 1.1}, "pct_pdf"),
        ({"pct_pdf": 0.6}, "pct_pdf"),
        ({"tenant_count": 2**31}, "tenant_count"),
        ({"largest_file_mb": 1e39}, "largest_file_mb"),
    ],
)
def test_columns_are_held_to_the_rules_of_rows(change: dict[str, Any], path: str) -> None:
    """The fault is told in the same words, at its place in the column."""
    subject = contract(tenant_count="integer", largest_file_mb="float")
    rows = [ROW, ROW, {**ROW, **change}]
    columns = {name: [row[name] for row in rows] for name in ROW}
    with pytest.raises(ContractViolationError) as by_row:
        decode(subject, *rows)
    with pytest.raises(ContractViolationError) as by_column:
        decoded(subject, json.dumps({"columns": columns}).encode())
    assert (by_column.value.path, by_column.value.row) == (f"columns.{path}[2]", 2)
    assert by_column.value.expected == by_row.value.expected
    assert by_column.value.got == by_row.value.got


def test_good_columns_give_the_call_of_good_rows() -> None:
    """In every type that the signature may have."""
    for subject in (
        contract(),
        contract(total_files="double", tenant_count="integer", pct_pdf="float"),
    ):
        rows = [ROW, {**ROW, "month": "2024-04-01", "largest_file_mb": 7}]
        columns = {name: [row[name] for row in rows] for name in ROW}
        by_row = decoded(subject, json.dumps({"instances": rows}).encode())
        assert decoded(subject, json.dumps({"columns": columns}).encode()) == by_row
