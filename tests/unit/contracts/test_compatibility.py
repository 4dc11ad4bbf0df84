"""What callers would miss if one contract took another's place: literal tables."""

from typing import Any

import pytest

from service.contracts.choose import contract_for
from service.contracts.compatibility import differences
from service.contracts.contract import Contract

Spec = dict[str, Any]

WORDS = ("integer", "long", "float", "double", "boolean", "string", "binary", "datetime")


def col(name: str | None, kind: str = "double", *, required: bool = True, **more: Any) -> Spec:
    """Write a ColSpec as MLflow does."""
    return {"type": kind, "required": required, **({"name": name} if name else {}), **more}


def optional(name: str | None, kind: str = "double", **more: Any) -> Spec:
    """Write an optional ColSpec."""
    return col(name, kind, required=False, **more)


def tensor(dtype: str, *shape: int, **more: str) -> Spec:
    """Write a TensorSpec as MLflow does."""
    return {**more, "type": "tensor", "tensor-spec": {"dtype": dtype, "shape": list(shape)}}


def contract(
    *inputs: Spec, outputs: list[Spec] | None = None, params: list[Spec] | None = None
) -> Contract:
    """Return the contract of any model with this signature."""
    signature = {"inputs": list(inputs), "outputs": outputs, "params": params}
    return contract_for("any-model", signature, refuse_unknown=False)


def taking(old: list[Spec], new: list[Spec], *, refuse_unknown: bool = False) -> list[str]:
    """Compare inputs."""
    return differences(contract(*old), contract(*new), refuse_unknown=refuse_unknown)


def giving(old: list[Spec] | None, new: list[Spec] | None) -> list[str]:
    """Compare outputs."""
    return differences(contract(col("a"), outputs=old), contract(col("a"), outputs=new))


def obj(**properties: Spec) -> Spec:
    """Write a nested column."""
    return {"type": "object", "properties": properties, "name": "o", "required": True}


A = [col("a")]


@pytest.mark.parametrize(
    ("old", "new", "found"),
    [
        (A, A, []),
        (A, [col("a"), optional("b")], []),
        ([col("a"), col("b")], [col("b"), col("a")], []),
        (A, [optional("a")], []),
        ([col("a"), col("b")], A, []),
        (A, [col("a"), col("b")], ["input b (double) is new and required"]),
        ([optional("a")], A, ["input a is required, and was optional"]),
        (A, [col("z")], ["input z (double) is new and required"]),
        (A, [col("a", "string")], ["input a is string, and was double"]),
        (
            A,
            [col("a", "long"), col("b", "string")],
            ["input a is long, and was double", "input b (string) is new and required"],
        ),
        (A, [col(None)], ["inputs are columns by position, and were named columns"]),
        ([col(None)], [col(None), optional(None)], []),
        ([col(None)], [col(None), col(None)], ["input 1 (double) is new and required"]),
        ([col(None), col(None)], [col(None)], ["input 1 is gone"]),
        ([obj(x=col(None))], [obj(x=col(None))], []),
        ([obj(x=col(None, "long"))], [obj(x=optional(None), y=optional(None))], []),
        ([obj(x=col(None))], [obj(y=col(None))], ["input o.y (double) is new and required"]),
        (
            [obj(x=col(None))],
            [obj(x=col(None, "string"))],
            ["input o.x is string, and was double"],
        ),
        ([obj(x=optional(None))], [obj(x=col(None))], ["input o.x is required, and was optional"]),
        (
            [{"type": "array", "items": {"type": "long"}, "name": "v"}],
            [{"type": "array", "items": {"type": "integer"}, "name": "v"}],
            ["input v[] is integer, and was long"],
        ),
        (
            [{"type": "map", "values": {"type": "long"}, "name": "v"}],
            [{"type": "map", "values": {"type": "string"}, "name": "v"}],
            ["input v{} is string, and was long"],
        ),
        (
            [{"type": "map", "values": {"type": "long"}, "name": "v"}],
            [{"type": "array", "items": {"type": "long"}, "name": "v"}],
            ["input v is array of long, and was map of long"],
        ),
    ],
)
def test_what_callers_send_is_still_taken(
    old: list[Spec], new: list[Spec], found: list[str]
) -> None:
    """Or each thing that is not is named."""
    assert taking(old, new) == found


def test_a_dropped_input_is_missed_where_unknown_fields_are_refused() -> None:
    """Elsewhere it may still be sent, and is ignored."""
    both = [col("a"), optional("b")]
    assert taking(both, A) == []
    assert taking(both, A, refuse_unknown=True) == ["input b is gone"]


@pytest.mark.parametrize("old", WORDS)
@pytest.mark.parametrize("new", WORDS)
def test_scalar_inputs_widen_and_nothing_else(old: str, new: str) -> None:
    """Integer to long to double, float to double."""
    wider = {("integer", "long"), ("integer", "double"), ("long", "double"), ("float", "double")}
    assert (taking([col("a", old)], [col("a", new)]) == []) is (old == new or (old, new) in wider)


@pytest.mark.parametrize(
    ("old", "new", "found"),
    [
        (("float32", -1, 2), ("float32", -1, 2), []),
        (("float32", -1, 2), ("float64", -1, 2), []),
        (("uint8", -1), ("int16", -1), []),
        (("int64", -1), ("float64", -1), []),
        (("datetime64[ns]", -1), ("datetime64[us]", -1), []),
        (("float64", -1), ("float32", -1), ["input 0 is of float32, and was of float64"]),
        (("bool", -1), ("int8", -1), ["input 0 is of int8, and was of bool"]),
        (("str", -1), ("object", -1), ["input 0 is of object, and was of str"]),
        (("int8", -1, 2), ("int8", -1, 3), ["input 0 has the shape (-1, 3), and had (-1, 2)"]),
        (("int8", -1, 2), ("int8", 4, 2), ["input 0 has the shape (4, 2), and had (-1, 2)"]),
    ],
)
def test_tensors_keep_their_shape_and_may_widen(
    old: tuple[Any, ...], new: tuple[Any, ...], found: list[str]
) -> None:
    """Element by element."""
    assert taking([tensor(*old)], [tensor(*new)]) == found


def test_named_tensors_are_inputs_like_others() -> None:
    """All are required."""
    p, q = tensor("int8", -1, name="p"), tensor("int8", -1, name="q")
    assert taking([p, q], [q]) == []
    assert taking([p], [p, q]) == ["input q (a tensor of int8) is new and required"]
    assert taking([p], [tensor("int8", -1)]) == ["inputs are a tensor, and were named tensors"]


ANSWER = [col("y"), col("z", "long")]


@pytest.mark.parametrize(
    ("old", "new", "found"),
    [
        (ANSWER, ANSWER, []),
        (ANSWER, [col("new", "string"), *reversed(ANSWER)], []),
        (None, ANSWER, []),
        (ANSWER, None, ["the signature names no outputs, and callers read y, z"]),
        (ANSWER, [col("y")], ["output z is gone (there are y)"]),
        ([col("y")], [col("w")], ["output y is gone (there are w)"]),
        ([col("y")], [col("y", "string")], ["output y is string, and was double"]),
        ([col("y")], [col("y", "float")], []),
        ([col("y")], [col("y", "long")], []),
        ([col("y", "long")], [col("y", "integer")], []),
        ([col("y", "long")], [col("y")], ["output y is double, and was long"]),
        ([col(None)], [tensor("float64", -1)], []),
        ([tensor("int64", -1, 1)], [col(None, "long")], []),
        ([tensor("str", -1)], [col(None, "string")], []),
        (
            [tensor("float64", -1, 2)],
            [tensor("float32", -1, 3)],
            ["output prediction has the shape (-1, 3), and had (-1, 2)"],
        ),
        (
            [tensor("int64", -1, 2)],
            [tensor("float64", -1, 2)],
            ["output prediction is of float64, and was of int64"],
        ),
        ([col(None), col(None)], [col(None), col(None), col(None)], []),
        (
            [col(None), col(None)],
            [col(None), col(None, "string")],
            ["output prediction[1] is string, and was double"],
        ),
        (
            [col(None), col(None), col(None)],
            [col(None), col(None)],
            ["output prediction has 2 values, and had 3"],
        ),
        ([col(None), col(None)], [col(None)], ["output prediction is double, and was 2 values"]),
        ([obj(x=col(None), y=col(None))], [obj(x=col(None))], ["output o.y is gone"]),
        ([obj(x=col(None))], [obj(x=col(None, "float"), y=col(None))], []),
        (
            [{"type": "array", "items": {"type": "long"}, "name": "v"}],
            [{"type": "array", "items": {"type": "string"}, "name": "v"}],
            ["output v[] is string, and was long"],
        ),
        (
            [{"type": "map", "values": {"type": "long"}, "name": "v"}],
            [{"type": "map", "values": {"type": "double"}, "name": "v"}],
            ["output v{} is double, and was long"],
        ),
    ],
)
def test_what_callers_read_is_still_there(
    old: list[Spec] | None, new: list[Spec] | None, found: list[str]
) -> None:
    """A number that may be a fraction now is another thing to read than one that may not."""
    assert giving(old, new) == found


def param(name: str, kind: str, **more: Any) -> Spec:
    """Write a ParamSpec as MLflow does."""
    return {"name": name, "type": kind, "default": None, "shape": None, **more}


@pytest.mark.parametrize(
    ("old", "new", "found"),
    [
        ([param("k", "long")], [param("k", "long", default=7)], []),
        (None, [param("k", "long")], []),
        ([param("k", "long")], None, ["parameter k is gone"]),
        ([param("k", "long")], [param("j", "long")], ["parameter k is gone"]),
        (
            [param("k", "long")],
            [param("k", "double")],
            ["parameter k is double, and was long"],
        ),
        (
            [param("k", "long")],
            [param("k", "long", shape=[-1])],
            ["parameter k is a list of long, and was long"],
        ),
    ],
)
def test_parameters_stay(old: list[Spec] | None, new: list[Spec] | None, found: list[str]) -> None:
    """Another default is a model's own affair."""
    assert differences(contract(col("a"), params=old), contract(col("a"), params=new)) == found


ARCHIVE = {
    "month": "string",
    **dict.fromkeys(("total_files", "deleted_files_count", "tenant_count", "site_count"), "long"),
    **dict.fromkeys(
        (
            *("avg_file_size_mb", "largest_file_mb", "pct_pdf", "pct_docx", "pct_xlsx"),
            *("archive_frequency_per_day", "storage_saved_gb"),
        ),
        "double",
    ),
}


def archive(*more: Spec, name: str = "archive-forecast-rf", **kinds: str) -> Contract:
    """Return the contract of a model with the archive's columns, some of other types."""
    inputs = [col(column, kind) for column, kind in {**ARCHIVE, **kinds}.items()]
    outputs = [col("archived_gb"), col("savings_gb")]
    signature = {"inputs": [*inputs, *more], "outputs": outputs, "params": None}
    return contract_for(name, signature, refuse_unknown=False)


def test_a_count_is_a_whole_number_for_callers_whatever_the_model_takes() -> None:
    """A retrain may have made it a double, and the next one a long again."""
    assert differences(archive(), archive(site_count="double")) == []
    assert differences(archive(site_count="double"), archive()) == []
    assert differences(archive(site_count="double"), archive(site_count="integer")) == [
        "input site_count is integer, and was long"
    ]


def test_rules_that_were_not_there_before_are_a_difference() -> None:
    """The hand-written contract takes less than its signature says, so the way back is free."""
    derived = archive(optional("extra"))
    assert differences(archive(), derived) == []
    assert differences(derived, archive()) == [
        "inputs are held to the rules of archive-forecast-rf, and were not"
    ]
