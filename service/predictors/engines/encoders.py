"""Encode categories without scikit-learn's checks of each call: a look-up for each value."""

import math
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from sklearn.preprocessing import OneHotEncoder, OrdinalEncoder

from service.contracts.contract import Call, Contract
from service.predictors.engines.engine import Array, BeyondError, SkippedError


def encoder(fitted: Any, contract: Contract, indices: Sequence[int]) -> Callable[[Call], Array]:
    """Return what encodes these columns of a call. Raise SkippedError where it is not so simple."""
    if getattr(fitted, "_infrequent_enabled", False):
        raise SkippedError("it merges infrequent categories")
    places = [
        _Place(contract.inputs[index].dtype, index, list(categories))
        for index, categories in zip(indices, fitted.categories_, strict=True)
    ]
    if type(fitted) is OneHotEncoder:
        return _one_hot(fitted, places)
    if type(fitted) is OrdinalEncoder:
        return _ordinal(fitted, places)
    raise SkippedError(f"{type(fitted).__name__} is no encoder that is known here")


class _Place:
    """One column: where it is, and the code of each of its categories."""

    def __init__(self, dtype: str, index: int, categories: list[Any]) -> None:
        self._dtype = dtype
        self._index = index
        plain = [c.item() if isinstance(c, np.generic) else c for c in categories]
        if any(map(_is_missing, plain)):
            raise SkippedError("one of its categories is a missing value")
        self._codes = {value: code for code, value in enumerate(plain)}
        self.count = len(plain)

    def codes(self, call: Call) -> list[int]:
        """Return each row's code, -1 for a category that was not seen when it was fitted."""
        column = call.columns[self._index]
        values = np.frombuffer(column, self._dtype).tolist() if self._dtype else column  # type: ignore[arg-type]
        get = self._codes.get
        codes = [get(value, -1) for value in values]
        if -1 in codes and any(map(_is_missing, values)):
            raise BeyondError("a category is missing")
        return codes


def _is_missing(value: Any) -> bool:
    return value is None or (isinstance(value, float) and math.isnan(value))


def _one_hot(fitted: OneHotEncoder, places: list[_Place]) -> Callable[[Call], Array]:
    if fitted.handle_unknown not in {"error", "ignore", "infrequent_if_exist"}:
        raise SkippedError(f"handle_unknown is {fitted.handle_unknown}")
    refuse = fitted.handle_unknown == "error"
    dropped = fitted.drop_idx_
    drops = [None] * len(places) if dropped is None else list(dropped)
    kept = [place.count - (drop is not None) for place, drop in zip(places, drops, strict=True)]
    starts = np.concatenate(([0], np.cumsum(kept)))[:-1].tolist()
    width, dtype = sum(kept), np.dtype(fitted.dtype)
    # For each column the place of each code in the output; the last one, at -1, is for none.
    maps = []
    for place, drop, start in zip(places, drops, starts, strict=True):
        order = [code for code in range(place.count) if code != drop]
        at = {code: start + rank for rank, code in enumerate(order)}
        maps.append(np.array([at.get(code, width) for code in range(place.count)] + [width]))

    def encode(call: Call) -> Array:
        # One column more, for rows that have no 1, which is left out at the end.
        matrix = np.zeros((call.rows, width + 1), dtype)
        rows = np.arange(call.rows)
        for place, places_of_codes in zip(places, maps, strict=True):
            codes = place.codes(call)
            if refuse and -1 in codes:
                raise BeyondError("a category was not seen when the model was fitted")
            matrix[rows, places_of_codes[codes]] = 1
        return matrix[:, :width]

    return encode


def _ordinal(fitted: OrdinalEncoder, places: list[_Place]) -> Callable[[Call], Array]:
    refuse = fitted.handle_unknown == "error"
    unknown = np.nan if refuse else fitted.unknown_value
    dtype = np.dtype(fitted.dtype)

    def encode(call: Call) -> Array:
        matrix = np.empty((call.rows, len(places)), dtype)
        for at, place in enumerate(places):
            codes = place.codes(call)
            matrix[:, at] = codes
            if -1 in codes:
                if refuse:
                    raise BeyondError("a category was not seen when the model was fitted")
                matrix[np.array(codes) == -1, at] = unknown
        return matrix

    return encode
