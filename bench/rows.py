"""The rows that everyone is asked for, which the model has not seen."""

from typing import Any

import numpy as np
import pandas as pd

from service.commands.demo.model import generate

_MONTHS = 60
_FIRST_SEED = 5

Table = np.ndarray[Any, np.dtype[np.float64]]


def frame_of(rows: int, first: int = 0) -> pd.DataFrame:
    """Return rows `first` to `first + rows`, always the same ones."""
    tables: list[pd.DataFrame] = []
    while sum(map(len, tables)) < first + rows:
        tables.append(generate(_MONTHS, seed=_FIRST_SEED + len(tables))[0])
    whole = pd.concat(tables, ignore_index=True)
    return whole.iloc[first : first + rows].reset_index(drop=True)


def records(frame: pd.DataFrame) -> list[dict[str, Any]]:
    """Return rows as JSON has them: floats where the model takes floats."""
    rows: list[dict[str, Any]] = frame.to_dict(orient="records")  # type: ignore[assignment]
    return rows


def table(predictions: list[Any]) -> Table:
    """Return predictions, as objects or as lists, as a table."""
    rows = [list(row.values()) if isinstance(row, dict) else row for row in predictions]
    return np.asarray(rows, dtype=np.float64)
