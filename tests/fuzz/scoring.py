"""A target over HTTP: bodies of MLflow's scoring protocol, which MLflow's own code reads."""

import io
from random import Random
from typing import Any

import pyarrow as pa
from pyarrow import parquet

from tests.fuzz.callers import KINDS, Service, post
from tests.fuzz.nonsense import json_text, mutated, pieces, value
from tests.support.scoring_bodies import CSV, JSON, PARQUET, Body, all_bodies

_KINDS_OF_BODIES = (JSON, JSON, JSON, CSV, PARQUET, "application/json;charset=utf-8", "text/plain")
_ROW = {
    "boolean": True,
    "integer": 1,
    "long": -1,
    "float": 0.5,
    "double": 1e300,
    "string": "ä",
    "binary": "YQ==",
    "datetime": "2024-01-01",
}
_KEYS = ("dataframe_split", "dataframe_records", "instances", "inputs", "messages", "params")
_ANSWERED_WITHIN_S = 10.0
"""Twice the REQUEST_TIMEOUT_S of the service: each has an answer."""
_WIDE = 2_000
"""Columns or names of a table that is all width."""


class ScoringBodies:
    """Bodies of every form, mutated, under every kind: answered with 200 or refused, never 500."""

    name = "invocations"

    def __init__(self, service: Service) -> None:
        self._service = service
        self._bodies = all_bodies([_ROW, dict.fromkeys(KINDS), _ROW])

    def run(self, rng: Random) -> str:
        """Send one to `/invocations`."""
        body = self._body(rng)
        content = mutated(rng, body.content) if rng.random() < 0.7 else body.content
        kind = body.kind if rng.random() < 0.9 else rng.choice(_KINDS_OF_BODIES)
        request = post("/invocations", content, [("content-type", kind)])
        statuses = self._service.exchange(pieces(rng, request), _ANSWERED_WITHIN_S)
        self._service.check()
        assert len(statuses) == 1, statuses
        assert statuses[0] == 200 or 400 <= statuses[0] < 500, statuses
        return str(statuses[0])

    def settle(self) -> None:
        """Look at the service's log, memory and health."""
        self._service.settle()

    def _body(self, rng: Random) -> Body:
        match rng.randrange(8):
            case 0:
                return Body("any value", JSON, json_text({rng.choice(_KEYS): value(rng)}))
            case 1:
                keys = rng.sample(_KEYS, rng.randint(1, 3))
                return Body("any keys", JSON, json_text({key: value(rng) for key in keys}))
            case 2:
                return Body("a file", PARQUET, _file(rng))
            case 3:
                return Body("a table", CSV, _table(rng))
            case _:
                return rng.choice(self._bodies)


def _file(rng: Random) -> bytes:
    """Return a Parquet file: dictionaries, nested columns, many columns, or much that repeats."""
    tables: list[Any] = [
        {"string": pa.array(["a", "b", "a"]).dictionary_encode()},
        {"binary": pa.array([[{"a": [1]}], [], None])},
        {f"c{number}": [number] for number in range(rng.choice([1, 100, _WIDE]))},
        {"double": pa.array([0.0] * rng.choice([1, 1_000, 300_000]))},
        {"datetime": pa.array([0, 2**62, None], pa.timestamp("ns"))},
        {"long": pa.array([], pa.int64()), "": pa.array([], pa.null())},
    ]
    file = io.BytesIO()
    compression = rng.choice(["none", "snappy", "zstd", "gzip"])
    parquet.write_table(pa.table(rng.choice(tables)), file, compression=compression)
    return file.getvalue()


def _table(rng: Random) -> bytes:
    """Return CSV: odd quotes, separators, line ends, names, and rows of other lengths."""
    cells = ["1", "", '"a"', '"', "a,b", "NaN", "0x1", "1e999", "\0", "é", " ", "2024-01-01"]
    names = rng.choices([*KINDS, "double", "", "Unnamed: 0"], k=rng.choice([1, 3, _WIDE]))
    rows = [rng.choices(cells, k=rng.randint(0, 4)) for _ in range(rng.choice([0, 1, 3, 200]))]
    end = rng.choice(["\n", "\r\n", "\r", "\n\n"])
    return end.join([",".join(names), *(",".join(row) for row in rows)]).encode()
