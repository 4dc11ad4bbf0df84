"""Columns of a model, from 5 to 500: all of them numbers, the model linear."""

from typing import Any

import msgspec
import numpy as np
import pandas as pd

from bench import asking, contenders, dialects, starting
from bench.ground import Ground
from bench.growth.calls import p50_ms, p50_ms_of
from bench.growth.part import Keep, Part, Point
from bench.rows import records
from tools.processes import BrokenError

_SIZES = (5, 10, 20, 50, 100, 200, 500)
_ROWS = {1: "milliseconds a request of 1 row", 1_000: "milliseconds a request of 1,000 rows"}


def measure(ground: Ground, keep: Keep) -> None:
    """Serve ever wider models; compare with mlflow.pyfunc on a DataFrame that is ready."""
    for columns in _SIZES:
        name = f"columns-{columns}"
        frame = _frame(columns, max(_ROWS))
        model = _registered(ground, name, frame)
        for rows, panel in _ROWS.items():
            keep(Point(panel, "mlflow.pyfunc", columns, p50_ms_of(model.predict, frame.head(rows))))
        settings = {"MODEL_URI": f"models:/{name}/1", "CACHE_DIR": str(ground.folder / name)}
        body = _body(frame.head(1))
        with contenders.HOTSWAP.started(ground, _is_up(body), **settings) as (url, tree):
            starting.rest(contenders.HOTSWAP, url, tree)
            for form, encode in (("JSON", _body), ("Arrow", dialects.ARROW_STREAM.encode)):
                dialect = dialects.INSTANCES if form == "JSON" else dialects.ARROW_STREAM
                for rows, panel in _ROWS.items():
                    try:
                        took_ms = p50_ms(url, dialect, encode(frame.head(rows)))
                    except BrokenError as error:
                        print(f"  {form}, {columns} columns, {rows:,} rows: {error}", flush=True)
                        continue
                    keep(Point(panel, f"hotswap, {form}", columns, took_ms))


def _is_up(body: bytes) -> Any:
    return lambda url: asking.is_answered(url, dialects.INSTANCES, body)


def _frame(columns: int, rows: int) -> pd.DataFrame:
    values = np.random.default_rng(0).normal(size=(rows, columns))
    return pd.DataFrame(values, columns=[f"x{number}" for number in range(columns)])


def _body(frame: pd.DataFrame) -> bytes:
    return msgspec.json.encode({"instances": records(frame)})


def _registered(ground: Ground, name: str, frame: pd.DataFrame) -> Any:
    from sklearn.linear_model import Ridge  # noqa: PLC0415 - slow, and only wanted here

    ridge = Ridge().fit(frame, frame.sum(axis=1))
    with ground.server.active() as mlflow:
        ground.server.register(
            name,
            mlflow.sklearn.log_model,
            sk_model=ridge,
            signature=mlflow.models.infer_signature(frame, ridge.predict(frame)),
            input_example=frame.head(3),
            serialization_format="cloudpickle",
        )
        return mlflow.pyfunc.load_model(f"models:/{name}/1")


COLUMNS = Part("columns", "columns", measure)
