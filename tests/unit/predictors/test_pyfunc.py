"""How a pyfunc model is called: MLflow's own enforcement accepts what it is given, unchanged."""

import json
import warnings
from collections.abc import Callable
from typing import Any

import numpy as np
import pandas as pd
import pytest

from service.codecs.json.encoding import encode_rows
from service.contracts.choose import contract_for
from service.contracts.contract import Contract
from service.predictors.inputs import to_frame, to_model_input
from tests.support.envelopes import decoded

with warnings.catch_warnings():
    warnings.simplefilter("ignore")  # MLflow's own, at import
    from mlflow.models import Model, ModelSignature
    from mlflow.pyfunc import PyFuncModel

    from service.predictors import pyfunc
    from service.predictors.pyfunc import PyfuncPredictor

Function = Callable[..., Any]


class Impl:
    """A model made of a function, which keeps what it was given."""

    def __init__(self, function: Function) -> None:
        self.function = function
        self.given: Any = None
        self.params: Any = None

    def predict(self, data: Any, params: Any = None) -> Any:
        """Answer by the function."""
        self.given, self.params = data, params
        return self.function(data)


def build(
    inputs: list[dict[str, Any]],
    function: Function = len,
    params: list[dict[str, Any]] | None = None,
    kept_columns: int = pyfunc.KEPT_COLUMNS,
) -> tuple[Contract, PyfuncPredictor, Impl]:
    """Return a contract, and the predictor of a model that MLflow wraps."""
    written = {
        "inputs": json.dumps(inputs),
        "outputs": None,
        "params": json.dumps(params) if params else None,
    }
    impl = Impl(function)
    meta = Model(signature=ModelSignature.from_dict(written))
    meta.flavors["python_function"] = {"loader_module": "none"}
    contract = contract_for("some-model", written, refuse_unknown=False)
    model = PyFuncModel(model_meta=meta, model_impl=impl)
    return contract, PyfuncPredictor(model, contract, kept_columns=kept_columns), impl


def column(kind: str, name: str | None, *, required: bool = True, **more: Any) -> dict[str, Any]:
    """Write a ColSpec as MLflow does."""
    named = {} if name is None else {"name": name}
    return {"type": kind, **named, "required": required, **more}


SCALARS = ("boolean", "integer", "long", "float", "double", "string", "binary", "datetime")
GOOD = {
    "boolean": True,
    "integer": 3,
    "long": 2**62,
    "float": 1.5,
    "double": 2,
    "string": "é",
    "binary": "YWI=",
    "datetime": "2024-01-01T00:00:00Z",
}
INTEGER, FLOAT, MOMENT = ({"type": kind} for kind in ("integer", "float", "datetime"))
THING = {
    "x": {"type": "integer", "required": True},
    "y": {"type": "float", "required": False},
    "z": {"type": "datetime", "required": False},
}


def answer(built: tuple[Contract, PyfuncPredictor, Impl], *rows: Any, **more: Any) -> list[Any]:
    """Send rows the whole way."""
    contract, predictor, _ = built
    call = decoded(contract, json.dumps({"instances": rows, **more}).encode())
    predictions = predictor.predict(call)
    answered: list[Any] = json.loads(encode_rows(predictions, 0, predictions.rows))
    return answered


def ones(data: Any) -> Any:
    """Answer 1 for each row."""
    return np.ones(len(data))


def test_every_scalar_type_passes_and_keeps_its_dtype() -> None:
    """Even where the column's name is no identifier."""
    built = build([column(kind, f"the {kind}") for kind in SCALARS], ones)
    row = {f"the {kind}": value for kind, value in GOOD.items()}
    assert len(answer(built, row, row)) == 2
    kinds = [dtype.kind for dtype in built[2].given.dtypes]
    assert "".join(kinds[:5]) == "biiff"
    assert built[2].given["the long"].tolist() == [2**62] * 2
    assert built[2].given["the binary"].tolist() == [b"ab"] * 2
    assert built[2].given["the datetime"].iloc[0] == pd.Timestamp("2024-01-01")


@pytest.mark.parametrize("together", [True, False])
def test_every_optional_type_passes_with_and_without_nulls(*, together: bool) -> None:
    """Integers too, which MLflow itself does not take with nulls."""
    built = build([column(kind, kind, required=False) for kind in SCALARS], ones)
    if together:
        assert len(answer(built, {}, GOOD)) == 2
        assert built[2].given["integer"].isna().tolist() == [True, False]
    else:
        assert len(answer(built, {})) == 1
        assert len(answer(built, GOOD)) == 1
        assert built[2].given["long"].tolist() == [2**62]
        assert built[2].given["integer"].dtype == "int32"
    assert list(built[2].given.columns) == list(SCALARS)


def test_callers_who_leave_out_other_integers_each_time_fill_no_memory() -> None:
    """What is made for each choice of columns with nulls is kept by how many columns it has."""
    names = [f"c{at}" for at in range(6)]
    inputs = [column("long", name, required=False) for name in names]
    built = build(inputs, ones, kept_columns=60)
    for choice in range(2**6):
        row = {name: None if choice >> at & 1 else at for at, name in enumerate(names)}
        assert answer(built, row) == [{"prediction": 1.0}]
    assert 0 < built[1].widened <= 11
    assert answer(built, dict.fromkeys(names, 1)) == [{"prediction": 1.0}]
    assert [dtype.kind for dtype in built[2].given.dtypes] == ["i"] * 6


def test_nested_types_pass() -> None:
    """Of 32 bits and of datetimes as well, and absent ones."""
    optional = column("array", "oa", required=False, items={"type": "double"})
    built = build(
        [
            column("array", "i", items=INTEGER),
            column("array", "f", items={"type": "array", "items": FLOAT}),
            column("array", "d", items=MOMENT),
            column("object", "o", properties=THING),
            column("map", "m", values=INTEGER),
            column("any", "any"),
            optional,
        ],
        ones,
    )
    row = {
        "i": [1, 2],
        "f": [[1, 2], []],
        "d": ["2024-01-01"],
        "o": {"x": 1},
        "m": {"k": 1},
        "any": [{"a": None}],
    }
    full = {**row, "o": {"x": 1, "y": 2.5, "z": "2024-01-01T00:00:00Z"}, "oa": [1, 2]}
    assert len(answer(built, row, full, row)) == 3
    given = built[2].given
    assert given["o"][1] == {"x": 1, "y": 2.5, "z": np.datetime64("2024-01-01")}
    assert given["i"][0].dtype == "int32"
    assert given["oa"].tolist() == [None, [1.0, 2.0], None]


def test_unnamed_columns_pass_as_a_frame() -> None:
    """With the positions as names."""
    built = build([column("double", None), column("string", None)], lambda df: df[0])
    assert answer(built, [1, "a"], [2, "b"]) == [{"0": 1.0}, {"0": 2.0}]


def test_tensors_pass_as_arrays() -> None:
    """Of the signature's dtype and shape, also where rows differ in theirs."""

    def tensor(dtype: str, shape: list[int], **more: str) -> dict[str, Any]:
        return {**more, "type": "tensor", "tensor-spec": {"dtype": dtype, "shape": shape}}

    built = build([tensor("float32", [-1, 2])], lambda x: x.sum(axis=1))
    assert answer(built, [1, 2], [3, 4]) == [{"prediction": 3.0}, {"prediction": 7.0}]
    built = build([tensor("float64", [-1, -1])], ones)
    assert len(answer(built, [1, 2], [3])) == 2
    assert len(answer(built, [1, 2], [3, 4])) == 2
    built = build([tensor("str", [-1])], lambda x: x)
    assert answer(built, "a", "bc") == [{"prediction": "a"}, {"prediction": "bc"}]
    built = build([tensor("datetime64[ns]", [-1])], lambda x: x)
    assert answer(built, "2024-01-01") == [{"prediction": "2024-01-01T00:00:00Z"}]
    built = build([tensor("object", [-1])], ones)
    assert len(answer(built, "a", [1, 2])) == 2
    built = build(
        [tensor("float64", [-1, 2], name="x"), tensor("int8", [-1], name="n")],
        lambda data: data["x"][:, 0] * data["n"],
    )
    assert answer(built, {"x": [2, 0], "n": 3}) == [{"prediction": 6.0}]


def test_a_frame_of_one_dtype_has_the_rows_as_they_were() -> None:
    """It is made of one block, and may be written into."""
    contract, _, _ = build([column("double", name) for name in "abc"])
    rows = [{"a": 1, "b": 2, "c": 3}, {"a": 4, "b": 5, "c": 6}]
    frame = to_model_input(contract, decoded(contract, json.dumps({"instances": rows}).encode()))
    assert isinstance(frame, pd.DataFrame)
    assert frame.to_dict("records") == rows
    frame.iloc[0, 0] = 9.0
    assert frame["a"].tolist() == [9.0, 4.0]


def test_a_frame_may_have_the_columns_alone_that_are_wanted() -> None:
    """As they are among all of them, by name or by place."""
    named = [column(kind, name) for kind, name in (("double", "a"), ("string", "b"), ("long", "c"))]
    rows = [{"a": 1.0, "b": "x", "c": 3}, {"a": 4.0, "b": "y", "c": 6}]
    contract, _, _ = build(named)
    call = decoded(contract, json.dumps({"instances": rows}).encode())
    pd.testing.assert_frame_equal(
        to_frame(contract, call, ["b", "c"]), to_frame(contract, call)[["b", "c"]]
    )
    positional, _, _ = build([{"type": kind, "required": True} for kind in ("double", "string")])
    call = decoded(positional, json.dumps({"instances": [[1.0, "x"]]}).encode())
    assert to_frame(positional, call, [1]).to_dict("records") == [{1: "x"}]


def test_params_reach_the_model_with_their_defaults() -> None:
    """As MLflow has them; what the model does to them stays its own."""
    specs: list[dict[str, Any]] = [
        {"name": "k", "type": "long", "default": 3, "shape": None},
        {"name": "words", "type": "string", "default": ["a"], "shape": [-1]},
        {"name": "since", "type": "datetime", "default": "2020-01-01T00:00:00", "shape": None},
    ]
    built = build([column("double", "x")], ones, specs)
    answer(built, {"x": 1}, params={"since": "2024-01-01T00:00:00+01:00"})
    assert (built[2].params["k"], built[2].params["words"]) == (3, ["a"])
    assert built[2].params["since"].isoformat() == "2023-12-31T23:00:00"
    built[2].params["words"].append("b")
    answer(built, {"x": 1})
    assert built[2].params["words"] == ["a"]
