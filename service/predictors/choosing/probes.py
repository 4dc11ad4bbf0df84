"""Rows on which predictors are compared: the example, its range and beyond, and odd ones."""

from collections.abc import Iterator, Mapping, Sequence
from datetime import date, timedelta
from typing import Any

import numpy as np

from service.contracts.contract import Call, Column, Contract, InputSpec
from service.contracts.merge import merge, take
from service.predictors.choosing.known_texts import known_texts
from service.predictors.engines.model_parts import ModelParts

PROBE_ROWS = 2048
_SEED = 5
_MOST_ODD = 300
"""So many odd rows are made at most: each is asked of the model alone."""
_EXTREMES = (0.0, -0.0, 1.0, -1.0, 1e-30, 1e9, -1e9, 1e30, -1e30)
# Quoted: numpy 1 has no such types of types.
_INTEGERS: "dict[str, np.iinfo[Any]]" = {
    "integer": np.iinfo(np.int32),
    "long": np.iinfo(np.int64),
}
_STRANGE = ("", "never seen", "ünseen ✓", "1999-13-41")

Rng = np.random.Generator


def probes_of(parts: ModelParts, example: Call) -> tuple[Call, list[Call]]:
    """Return many rows like those of an example, and odd ones, each a call of its own."""
    contract, rng = parts.contract, np.random.default_rng(_SEED)
    usual = usual_rows(example, contract, known_texts(parts), rng)
    odd = list(odd_rows(example, contract))
    if len(odd) > _MOST_ODD:
        odd = [odd[at] for at in sorted(rng.choice(len(odd), _MOST_ODD, replace=False))]
    return usual, odd


def usual_rows(
    example: Call,
    contract: Contract,
    texts: Mapping[int, Sequence[str]],
    rng: Rng,
    rows: int = PROBE_ROWS,
) -> Call:
    """Return rows of an example, of its range, and of some times its range.

    `texts` are what the model knows in a column, beside what the example has.
    """
    columns = [
        _usual(spec, column, example.rows, texts.get(index, ()), rng, rows)
        for index, (spec, column) in enumerate(zip(contract.inputs, example.columns, strict=True))
    ]
    made = Call(rows, columns, example.params)
    return merge([example, take(made, range(rows - example.rows))])


def odd_rows(example: Call, contract: Contract) -> Iterator[Call]:
    """Give rows of which one column is odd: missing where it may be, extreme, or never seen."""
    base = take(example, [0])
    for index, spec in enumerate(contract.inputs):
        for column in _odd(spec):
            columns = [*base.columns[:index], column, *base.columns[index + 1 :]]
            yield Call(1, columns, base.params)


def _usual(
    spec: InputSpec, column: Column, given: int, texts: Sequence[str], rng: Rng, rows: int
) -> Column:
    again = rng.integers(0, given, rows)
    if isinstance(column, list):
        return _usual_list(spec, column, texts, rng, again)
    dtype = np.dtype(spec.dtype)
    known = np.frombuffer(column, dtype).reshape(given, -1)
    if dtype.kind == "b":
        return rng.integers(0, 2, (rows, known.shape[1])).astype(dtype).tobytes()
    if dtype.kind == "M":
        days = rng.integers(-2000, 2000, (rows, 1)).astype("timedelta64[D]")
        moved: Column = (known[again] + days).astype(dtype).tobytes()
        return moved
    if dtype.kind not in "iuf":
        return known[again].tobytes()
    return _numbers(known, dtype, again, rng).tobytes()


def _numbers(
    known: "np.ndarray[Any, Any]", dtype: "np.dtype[Any]", again: "np.ndarray[Any, Any]", rng: Rng
) -> "np.ndarray[Any, Any]":
    """Draw from the range of what is known, a quarter from ten times its range around it."""
    finite = known[np.isfinite(known)] if dtype.kind == "f" else known.ravel()
    low, high = (float(finite.min()), float(finite.max())) if finite.size else (0.0, 1.0)
    span = max(high - low, abs(high), 1e-3)
    rows, width = len(again), known.shape[1]
    kind = rng.random((rows, width))
    inside = rng.uniform(low, low + max(high - low, span / 10), (rows, width))
    beyond = rng.uniform(low - 2 * span, high + 7 * span, (rows, width))
    if low >= 0:
        # A column that is never negative in the example may be a count or a share.
        beyond = np.abs(beyond)
    drawn = np.where(kind < 0.25, beyond, inside)  # noqa: PLR2004 - the quarter
    if dtype.kind != "f":
        limits = np.iinfo(dtype)
        drawn = np.clip(np.rint(drawn), float(limits.min) / 2, float(limits.max) / 2)
    values = drawn.astype(dtype)
    same = kind > 0.85  # noqa: PLR2004 - some are the example's own
    return np.where(same & np.isfinite(known[again].astype(float)), known[again], values).astype(
        dtype
    )


def _usual_list(
    spec: InputSpec,
    column: list[Any],
    texts: Sequence[str],
    rng: Rng,
    again: "np.ndarray[Any, Any]",
) -> list[Any]:
    if spec.type == "string":
        given = list(dict.fromkeys(value for value in column if value is not None))
        pool = [*given, *texts, *_dates_near(given)] or ["a"]
        return [pool[at] for at in rng.integers(0, len(pool), len(again))]
    if spec.type in _INTEGERS:
        known = np.array([value or 0 for value in column], np.int64).reshape(-1, 1)
        return _numbers(known, known.dtype, again, rng).ravel().tolist()
    if spec.type == "boolean":
        return [bool(value) for value in rng.integers(0, 2, len(again))]
    return [column[at] for at in again]


def _dates_near(texts: Sequence[str]) -> list[str]:
    """Return five years of the days that lie a month apart, where the texts are dates."""
    try:
        first = date.fromisoformat(texts[0])
        return [(first + timedelta(days=31 * month)).isoformat() for month in range(-30, 30)]
    except (IndexError, ValueError, OverflowError):
        return []


def _odd(spec: InputSpec) -> Iterator[Column]:
    """Give columns of one row."""
    if not spec.required:
        yield _missing(spec)
    if spec.type == "string":
        yield from ([text] for text in _STRANGE)
    elif spec.type in _INTEGERS:
        limits = _INTEGERS[spec.type]
        numbers = (0, -1, 2**24 + 1, int(limits.max), int(limits.min))
        dtype = spec.dtype
        yield from (np.array([n], dtype).tobytes() if dtype else [n] for n in numbers)
    elif spec.dtype and np.dtype(spec.dtype).kind == "f" and not spec.shape:
        yield from (np.array([number], spec.dtype).tobytes() for number in _EXTREMES)


def _missing(spec: InputSpec) -> Column:
    if not spec.dtype:
        return [None]
    dtype = np.dtype(spec.dtype)
    return np.array([np.datetime64("NaT") if dtype.kind == "M" else np.nan], dtype).tobytes()
