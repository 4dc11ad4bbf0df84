"""Models that answer in every form there is, to a frame of a number, a whole number and a text."""

import datetime as dt
from collections.abc import Callable
from decimal import Decimal
from enum import Enum
from functools import partial
from typing import Any

import numpy as np
import pandas as pd
import scipy.sparse  # type: ignore[import-untyped]
from mlflow.types.schema import Array, ColSpec, Map, Object, Property, TensorSpec

from tests.support.kinds.kind import Answers, Kind, Rng, column, number, save_python

INPUTS = (column("double", "x"), column("long", "n"), column("string", "s"))
WORDS = ("red", "green", "", "größe", 'a "word"', "2024-01-01")


def rows(rng: Rng, count: int) -> list[dict[str, Any]]:
    """Make rows, of which some numbers are below zero, and some zero."""
    return [
        {
            "x": number(rng),
            "n": int(rng.integers(-3, 4)),
            "s": WORDS[int(rng.integers(len(WORDS)))],
        }
        for _ in range(count)
    ]


class Color(Enum):
    """A label of Python's own."""

    RED = "red"
    BLUE = "blue"


def _each(function: Callable[[Any], Any]) -> Callable[[pd.DataFrame], list[Any]]:
    return lambda frame: [function(row) for row in frame.itertuples(index=False)]


def _structured(frame: pd.DataFrame) -> Any:
    pairs = list(zip(frame["x"], frame["n"], strict=True))
    return np.array(pairs, dtype=[("a", "f8"), ("b", "i8")])


def _objects(frame: pd.DataFrame) -> Any:
    array = np.empty(len(frame), dtype=object)
    array[:] = [None if n < 0 else f"n{n}" for n in frame["n"]]
    return array


def _moments(frame: pd.DataFrame) -> Any:
    return pd.to_datetime("2024-01-01") + pd.to_timedelta(frame["n"] * 1001, unit="ns")


DOUBLE, LONG, STRING, ANY = (ColSpec(kind) for kind in ("double", "long", "string", "double"))
A_LIST = ColSpec(Array("double"))
LISTS = ColSpec(Array(Array("double")))
AN_OBJECT = ColSpec(Object([Property("a", "double"), Property("b", "string")]))
A_MAP = ColSpec(Map("double"))

FORMS: dict[str, tuple[Callable[[pd.DataFrame], Any], tuple[Any, ...]]] = {
    "array": (lambda f: f["x"].to_numpy(), (DOUBLE,)),
    "array of one type less": (lambda f: f["x"].to_numpy().astype("float32"), ()),
    "half floats": (lambda f: f["n"].to_numpy().astype("float16"), ()),
    "whole numbers": (lambda f: f["n"].to_numpy(), (LONG,)),
    "bytes of one": (lambda f: f["n"].to_numpy().astype("int8"), ()),
    "unsigned": (lambda f: f["n"].abs().to_numpy().astype("uint64"), ()),
    "big endian": (lambda f: f["x"].to_numpy().astype(">f8"), ()),
    "truths": (lambda f: (f["x"] > 0).to_numpy(), (ColSpec("boolean"),)),
    "texts": (lambda f: f["s"].to_numpy().astype(str), (STRING,)),
    "objects with none": (_objects, (STRING,)),
    "objects with none, undeclared": (_objects, ()),
    "rows of two": (lambda f: f[["x", "n"]].to_numpy(), ()),
    "rows of one": (lambda f: f[["x"]].to_numpy(), ()),
    "rows of one, one declared": (lambda f: f[["x"]].to_numpy(), (DOUBLE,)),
    "rows of one, a tensor declared": (
        lambda f: f[["x"]].to_numpy(),
        (TensorSpec(np.dtype("float64"), (-1, 1)),),
    ),
    "rows of none": (lambda f: np.zeros((len(f), 0)), ()),
    "rows of matrices": (lambda f: np.ones((len(f), 2, 3)) * f[["x"]].to_numpy()[:, :, None], ()),
    "rows of matrices of one": (lambda f: f["x"].to_numpy().reshape(-1, 1, 1), ()),
    "two columns, unnamed": (
        lambda f: f[["x", "n"]].to_numpy(),
        (column("double", "a"), column("double", "b")),
    ),
    "a structured array": (_structured, ()),
    "moments": (lambda f: _moments(f).to_numpy(), (ColSpec("datetime"),)),
    "days": (lambda f: np.datetime64("2024-01-01") + f["n"].to_numpy(), ()),
    "a matrix with holes": (lambda f: scipy.sparse.csr_matrix(f[["x", "n"]].to_numpy()), ()),
    "a series": (lambda f: f["x"], (DOUBLE,)),
    "a series with a name": (lambda f: f["x"].rename("y"), ()),
    "a series of Int64": (lambda f: f["n"].where(f["n"] > 0).astype("Int64"), ()),
    "a series of boolean": (lambda f: f["n"].where(f["n"] > 0).astype("Int64") > 1, ()),
    "a series of string": (lambda f: f["s"].where(f["n"] > 0).astype("string"), ()),
    "a series of str": (lambda f: f["s"].where(f["n"] > 0), ()),
    "a series of categories": (lambda f: f["s"].where(f["n"] > 0).astype("category"), ()),
    "categories of numbers": (lambda f: f["n"].astype("category"), ()),
    "a series of objects": (
        lambda f: f["n"].map(lambda n: None if n < 0 else n).astype(object),
        (),
    ),
    "moments with a zone": (lambda f: _moments(f).dt.tz_localize("Asia/Tokyo"), ()),
    "moments, some missing": (lambda f: _moments(f).where(f["n"] > 0), ()),
    "an index of its own": (lambda f: f["x"].set_axis(range(5, 5 + len(f))), ()),
    "a frame": (lambda f: pd.DataFrame({"y": f["x"] * 2, "label": f["s"]}), ()),
    "a frame, declared": (
        lambda f: pd.DataFrame({"label": f["s"], "y": f["x"] * 2}),
        (column("double", "y"), column("string", "label")),
    ),
    "a frame of one": (lambda f: pd.DataFrame({"y": f["x"]}), ()),
    "a frame of Int64": (
        lambda f: pd.DataFrame({"n": f["n"].where(f["n"] > 0).astype("Int64")}),
        (),
    ),
    "a frame of lists": (lambda f: pd.DataFrame({"v": [[x, 1.0] for x in f["x"]]}), ()),
    "a frame with odd names": (
        lambda f: pd.DataFrame({'a "q"': f["x"], "größe": f["n"], 3: f["s"], "back\\slash": 1}),
        (),
    ),
    "a list": (lambda f: f["x"].tolist(), (DOUBLE,)),
    "a list of whole numbers where doubles are declared": (lambda f: f["n"].tolist(), (DOUBLE,)),
    "a list of numbers of two types": (_each(lambda r: r.n if r.n > 0 else r.x), ()),
    "a list of texts": (lambda f: f["s"].tolist(), (STRING,)),
    "a list with none": (_each(lambda r: None if r.n < 0 else r.x), (DOUBLE,)),
    "a list with NA": (_each(lambda r: pd.NA if r.n < 0 else r.n), ()),
    "a list of all sorts": (_each(lambda r: [r.x, r.n, r.s, None, True][r.n % 5]), ()),
    "a list of lists": (_each(lambda r: [r.x, 1.5]), (A_LIST,)),
    "a list of lists of one": (_each(lambda r: [r.x]), (A_LIST,)),
    "a list of lists of one, undeclared": (_each(lambda r: [r.x]), ()),
    "a list of ragged lists": (_each(lambda r: [r.x] * abs(r.n)), (A_LIST,)),
    "a list of ragged lists, undeclared": (_each(lambda r: [r.x] * abs(r.n)), ()),
    "a list of empty lists": (_each(lambda _: []), ()),
    "a list of lists of two types": (_each(lambda r: [r.n, r.x]), ()),
    "a list of lists of lists": (_each(lambda r: [[r.x], [r.x, 2.0]]), (LISTS,)),
    "a list of tuples": (_each(lambda r: (r.s, r.n)), ()),
    "a list of arrays": (_each(lambda r: np.array([r.x, 1.0])), (A_LIST,)),
    "a list of arrays of one": (_each(lambda r: np.array([r.x])), ()),
    "a list of ragged arrays": (_each(lambda r: np.full(abs(r.n), r.x)), ()),
    "a list of matrices": (_each(lambda r: np.full((2, 2), r.x)), ()),
    "a list of numpy's scalars": (_each(lambda r: np.float32(r.n)), ()),
    "a list of decimals": (_each(lambda r: Decimal(str(r.x))), ()),
    "a list of enums": (_each(lambda r: Color.RED if r.n > 0 else Color.BLUE), ()),
    "a list of dates": (_each(lambda r: dt.date(2024, 1, 5 + r.n)), ()),
    "a list of datetimes": (_each(lambda r: dt.datetime(2024, 1, 5 + r.n, tzinfo=dt.UTC)), ()),
    "a list of timestamps": (
        _each(lambda r: pd.Timestamp("2024-01-01") + pd.Timedelta(r.n, "ns")),
        (),
    ),
    "a list of bytes": (_each(lambda r: r.s.encode()), ()),
    "a list of objects": (_each(lambda r: {"a": r.x, "b": r.s}), ()),
    "a list of objects, declared": (_each(lambda r: {"b": r.s, "a": r.x}), (AN_OBJECT,)),
    "a list of objects of one key": (_each(lambda r: {"a": r.x}), (A_MAP,)),
    "a list of objects by name": (
        _each(lambda r: {"b": r.s, "a": r.x}),
        (column("double", "a"), column("string", "b")),
    ),
    "a list of objects, none in some": (
        _each(lambda r: {"a": None if r.n < 0 else r.x, "b": r.s}),
        (),
    ),
    "a list of objects, keys left out": (
        _each(lambda r: {"a": r.x} if r.n < 0 else {"a": r.x, "b": r.s}),
        (column("double", "a"), column("string", "b", required=False)),
    ),
    "a list of maps": (_each(lambda r: {f"k{i}": r.x for i in range(abs(r.n))}), (A_MAP,)),
    "nested objects": (
        _each(lambda r: {"o": {"deep": [{"x": r.x, "größe": None}]}, "t": (1, 2.5)}),
        (),
    ),
    "lists that hold much": (_each(lambda r: [r.x, None, f"{r.s} " * 60_000]), ()),
    "arrays and moments that hold much": (
        lambda f: {
            "v": f[["x"]].to_numpy() + np.arange(3_000.0),
            "at": _moments(f).to_numpy(),
            "y": f["x"].to_numpy(),
        },
        (),
    ),
    "a generator": (lambda f: iter(f["x"].tolist()), ()),
    "a tuple": (lambda f: tuple(f["n"].tolist()), ()),
    "a mapping of lists": (lambda f: {"a": f["x"].tolist(), "b": f["s"].tolist()}, ()),
    "a mapping of arrays": (lambda f: {"a": f["x"].to_numpy(), "b": f["n"].to_numpy()}, ()),
    "a mapping of matrices": (lambda f: {"v": f[["x", "n"]].to_numpy()}, ()),
    "a mapping of series": (lambda f: {"a": f["x"], "b": f["s"]}, ()),
    "a mapping of lists of lists": (
        lambda f: {"v": [[x] for x in f["x"]]},
        (ColSpec(Array("double"), "v"),),
    ),
}
"""Functions that answer the frame, and the outputs that the signature has."""

ALONE: dict[str, tuple[Callable[[pd.DataFrame], Any], tuple[Any, ...]]] = {
    "a number": (lambda f: float(f["x"].iloc[0]), (DOUBLE,)),
    "a text": (lambda f: str(f["s"].iloc[0]), ()),
    "numpy's number": (lambda f: f["n"].to_numpy()[0], ()),
    "an array of no dimension": (lambda f: np.array(f["x"].iloc[0]), ()),
    "an object": (lambda f: {"label": f["s"].iloc[0], "scores": [1.0, 2.0]}, ()),
    "an object with one score": (lambda f: {"label": f["s"].iloc[0], "scores": [1.0]}, ()),
    "an object of lists, declared": (
        lambda f: {"v": [float(x) for x in f["x"]]},
        (ColSpec(Array("double"), "v"),),
    ),
}
"""The same for models that take one row."""

NOT_FINITE: dict[str, Callable[[pd.DataFrame], Any]] = {
    "NaN": lambda f: f["x"].where(f["n"] > 0),
    "infinity": lambda f: f["x"].to_numpy() / (f["n"] > 0).to_numpy(),
    "NaN in lists": _each(lambda r: [r.x, float("nan") if r.n < 0 else 1.0]),
    "NaN in objects": _each(lambda r: {"a": float("nan") if r.n < 0 else r.x}),
    "NaN among texts": _each(lambda r: float("nan") if r.n < 0 else r.s),
}
"""Answers that have no finite number: with NON_FINITE=null."""


def _one(_: Rng, count: int) -> list[dict[str, Any]]:
    return rows(_, min(count, 1))


def _more_rows(frame: pd.DataFrame) -> pd.Series:
    return pd.Series(np.arange(3 * len(frame)) * 0.5, name="forecast")


def _saving(function: Callable[[pd.DataFrame], Any], outputs: tuple[Any, ...] = ()) -> Any:
    return partial(save_python, model=Answers(function), inputs=INPUTS, outputs=outputs)


KINDS = [
    *(Kind(f"answers {name}", _saving(*made), rows) for name, made in FORMS.items()),
    *(
        Kind(f"answers {name}", _saving(*made), _one, alone=True, one_answer=True)
        for name, made in ALONE.items()
    ),
    *(
        Kind(f"answers {name}", _saving(function), rows, nulls=True)
        for name, function in NOT_FINITE.items()
    ),
    Kind("answers three rows for one", _saving(_more_rows), rows, any_rows=True, alone=True),
]
