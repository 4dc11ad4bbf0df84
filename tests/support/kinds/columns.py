"""Models that tell what they were given: columns of every type and name, sent and not sent."""

import math
from functools import partial
from typing import Any

import numpy as np
import pandas as pd
from mlflow.types.schema import (
    AnyType,
    Array,
    ColSpec,
    Map,
    Object,
    ParamSpec,
    Property,
    TensorSpec,
)

from tests.support.kinds.kind import (
    COLUMNS,
    NAMED,
    ROWS,
    Answers,
    Kind,
    Rng,
    column,
    number,
    save_python,
)

JSON = frozenset({ROWS, COLUMNS})
NAMES = ("plain", "größe", "年齢", 'zoll "', "back\\slash", "line\nbreak", "\U0001f600", "a.b[0]")
MOMENTS = (
    "2024-02-29T12:00:00Z",
    "2024-12-31T23:59:59.9999999Z",
    "2024-12-31T23:59:59.123456789Z",
    "1999-01-01T01:00:00+02:00",
    "1969-12-31T23:59:59.5Z",
)
TEXTS = ("", "a", "größe", "2024-01-01", "nan", "None", 'q"', "\U0001f600")


def told(value: Any) -> Any:
    """Say what a value is, in a way that JSON has."""
    if value is None or value is pd.NA or value is pd.NaT:
        return "missing"
    if isinstance(value, dict):
        return {str(key): told(item) for key, item in value.items()}
    if isinstance(value, np.ndarray | list | tuple):
        return [told(item) for item in value]
    if isinstance(value, pd.Timestamp | np.datetime64):
        return f"moment {pd.Timestamp(value).value}"
    if isinstance(value, np.generic):
        value = value.item()
    if isinstance(value, float) and math.isnan(value):
        return "missing"
    return f"{type(value).__name__} {value!r}"


def tell(frame: pd.DataFrame) -> list[Any]:
    """Tell the columns that there are, and each value with its type."""
    names = list(frame.columns)
    return [
        {"told": repr([(str(name), told(frame[name].iloc[row])) for name in names])}
        for row in range(len(frame))
    ]


def tell_arrays(arrays: Any) -> list[Any]:
    """Tell the arrays' types, shapes and values."""
    named = arrays if isinstance(arrays, dict) else {"": arrays}
    rows = len(next(iter(named.values())))
    return [
        {"told": repr([(name, str(a.dtype), told(a[row])) for name, a in named.items()])}
        for row in range(rows)
    ]


def tell_params(frame: pd.DataFrame, params: Any) -> list[Any]:
    """Tell the parameters beside the rows."""
    said = repr(sorted((name, told(value)) for name, value in params.items()))
    return [{"told": repr(row), "params": said} for row in frame["x"]]


def scalar(kind: str, rng: Rng) -> Any:  # noqa: PLR0911 - one for each kind
    """Return a value of a scalar type, as JSON has it."""
    match kind:
        case "boolean":
            return bool(rng.integers(2))
        case "integer" | "long":
            return int(rng.integers(-5, 6))
        case "float":
            return float(rng.integers(-8, 8)) / 4
        case "double":
            return number(rng)
        case "string":
            return TEXTS[int(rng.integers(len(TEXTS)))]
        case "binary":
            return ("", "AAAA", "/w==")[int(rng.integers(3))]
    return MOMENTS[int(rng.integers(len(MOMENTS)))]


SCALARS = ("boolean", "integer", "long", "float", "double", "string", "binary", "datetime")


def _required(kind: str) -> Any:
    return lambda rng, count: [{"x": scalar(kind, rng)} for _ in range(count)]


def _optional(kind: str) -> Any:
    """Make rows in which an optional column has all, some, no values, or is not there."""

    def rows(rng: Rng, count: int) -> list[dict[str, Any]]:
        how = int(rng.integers(4))
        made = []
        for _ in range(count):
            row: dict[str, Any] = {"x": number(rng)}
            if how == 0 or (how == 1 and rng.random() < 0.5):
                row["o"] = scalar(kind, rng)
            elif how == 2 or (how == 1 and rng.random() < 0.5):
                row["o"] = None
            made.append(row)
        # pandas takes a column from the first row that has it; its place is the signature's.
        return made

    return rows


def _default(frame: pd.DataFrame) -> Any:
    bonus = frame["bonus"] if "bonus" in frame.columns else 10.0
    return frame["x"] + bonus


def _bonus(rng: Rng, count: int) -> list[dict[str, Any]]:
    sent = bool(rng.integers(2))
    return [{"x": number(rng), **({"bonus": number(rng)} if sent else {})} for _ in range(count)]


def _names(rng: Rng, count: int) -> list[dict[str, Any]]:
    return [
        {name: number(rng) for name in NAMES if name != "a.b[0]" or rng.random() < 0.7}
        for _ in range(count)
    ]


INNER = Object([Property("größe", "double"), Property('q"', "string", required=False)])


def _inner(rng: Rng) -> dict[str, Any]:
    inner: dict[str, Any] = {"größe": number(rng)}
    if rng.random() < 0.5:
        inner['q"'] = scalar("string", rng)
    return inner


NESTED: dict[str, tuple[Any, Any]] = {
    "lists": (Array("double"), lambda rng: [number(rng) for _ in range(int(rng.integers(4)))]),
    "lists of whole numbers": (
        Array("integer"),
        lambda rng: [int(v) for v in rng.integers(9, size=2)],
    ),
    "lists of lists": (Array(Array("string")), lambda rng: [[scalar("string", rng)], []]),
    "lists of moments": (Array("datetime"), lambda rng: [scalar("datetime", rng)] * 2),
    "lists of objects": (Array(INNER), lambda rng: [_inner(rng) for _ in range(2)]),
    "objects": (INNER, _inner),
    "objects of all scalars": (
        Object([Property(kind, kind) for kind in SCALARS if kind != "binary"]),
        lambda rng: {kind: scalar(kind, rng) for kind in SCALARS if kind != "binary"},
    ),
    "maps": (Map("long"), lambda rng: {f"k{i} ü": i for i in range(int(rng.integers(3)))}),
    "maps of lists": (Map(Array("double")), lambda rng: {"a": [number(rng)], "": []}),
    "anything": (
        AnyType(),
        lambda rng: [1, 2.5, "a", {"größe": [None, True]}, [], [1, "b"]][int(rng.integers(6))],
    ),
}


def _nested(make: Any) -> Any:
    return lambda rng, count: [{"v": make(rng), "x": number(rng)} for _ in range(count)]


def _plain(name: str) -> frozenset[str]:
    """Return the forms of a nested type: in Arrow an absent field is null, and a type is one."""
    return NAMED if name in {"lists", "lists of lists", "lists of moments"} else JSON


PARAMS = (
    ParamSpec("whole", "long", 1),
    ParamSpec("share", "double", 0.5),
    ParamSpec("word", "string", "a"),
    ParamSpec("on", "boolean", default=True),
    ParamSpec("list", "long", [1, 2], (-1,)),
    ParamSpec("moment", "datetime", np.datetime64("2024-01-01")),
)
ASKED: tuple[dict[str, Any], ...] = (
    {},
    {"whole": 5, "word": "größe"},
    {"share": 2.0, "on": False, "list": [3]},
)


def _xs(rng: Rng, count: int) -> list[dict[str, Any]]:
    return [{"x": number(rng)} for _ in range(count)]


def _tensor(dtype: str, shape: tuple[int, ...]) -> Any:
    def rows(rng: Rng, count: int) -> list[Any]:
        sizes = [size if size >= 0 else int(rng.integers(1, 4)) for size in shape]
        made: list[Any] = (rng.integers(0, 2, (count, *sizes)).astype(dtype)).tolist()
        return made

    return rows


def _tensors(rng: Rng, count: int) -> list[dict[str, Any]]:
    return [
        {"a": rng.integers(0, 9, 2).tolist(), "b": [[number(rng)] * 2] * 2, "c": number(rng)}
        for _ in range(count)
    ]


def _tell(inputs: Any) -> Any:
    return partial(save_python, model=Answers(tell), inputs=inputs)


def _tell_tensor(*specs: Any) -> Any:
    return partial(save_python, model=Answers(tell_arrays), inputs=specs)


TENSORS = {
    "doubles": ("float64", (3,)),
    "floats": ("float32", (2, 2)),
    "whole numbers": ("int64", (2,)),
    "small ones": ("uint8", (2, 2, 1)),
    "truths": ("bool", (2,)),
    "one a row": ("float64", ()),
    "rows of their own length": ("float64", (-1,)),
}

KINDS = [
    *(Kind(f"given {kind}", _tell([column(kind, "x")]), _required(kind)) for kind in SCALARS),
    *(
        Kind(
            f"given optional {kind}",
            _tell([column("double", "x"), column(kind, "o", required=False)]),
            _optional(kind),
            lenient="MLflow takes no null among whole numbers, and no column of nothing but null",
        )
        for kind in SCALARS
    ),
    Kind(
        "given a default",
        partial(
            save_python,
            model=Answers(_default),
            inputs=[column("double", "x"), column("double", "bonus", required=False)],
        ),
        _bonus,
    ),
    Kind(
        "given odd names",
        _tell([column("double", n, required=n != "a.b[0]") for n in NAMES]),
        _names,
    ),
    *(
        Kind(
            f"given {name}",
            _tell([ColSpec(kind, "v"), column("double", "x")]),
            _nested(make),
            forms=_plain(name),
            # pandas gives a column of anything a type, by all its rows.
            alone=name == "anything",
        )
        for name, (kind, make) in NESTED.items()
    ),
    Kind(
        "given parameters",
        partial(
            save_python,
            model=Answers(tell_params, takes_params=True),
            inputs=[column("double", "x")],
            params=PARAMS,
        ),
        _xs,
        params=ASKED,
    ),
    Kind(
        "given columns without names",
        _tell([ColSpec("double"), ColSpec("string")]),
        lambda rng, count: [[number(rng), scalar("string", rng)] for _ in range(count)],
        forms=frozenset({ROWS}),
        asks="list",
    ),
    *(
        Kind(
            f"given a tensor of {name}",
            _tell_tensor(TensorSpec(np.dtype(dtype), (-1, *shape))),
            _tensor(dtype, shape),
            forms=frozenset({ROWS}),
            asks="tensors",
            alone=-1 in shape,
        )
        for name, (dtype, shape) in TENSORS.items()
    ),
    Kind(
        "given tensors with names",
        _tell_tensor(
            TensorSpec(np.dtype("int64"), (-1, 2), "a"),
            TensorSpec(np.dtype("float64"), (-1, 2, 2), "b"),
            TensorSpec(np.dtype("float32"), (-1,), "c"),
        ),
        _tensors,
        asks="tensors",
        forms=frozenset({ROWS, COLUMNS}),
    ),
]
