"""Plain bodies of MLflow's protocol: a call says the same as MLflow's own reading of them.

Each is asked both ways of a real model that tells what it got.
"""

import json
import warnings
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from service.codecs.bounds import Bounds
from service.codecs.codec import AnswerForm, NotPlainError
from service.codecs.scoring.codec import PlainScoring
from service.core.version_names import VersionNames

with warnings.catch_warnings():
    warnings.simplefilter("ignore")  # MLflow's own, at import
    from service.workers.inside.scoring import JSON
    from tests.support.kinds.columns import tell
    from tests.support.kinds.every import KINDS
    from tests.support.kinds.kind import Answers, Kind, Rng, column, save_python
    from tests.support.kinds.served import Served

NAMES = VersionNames("m", "1", "@champion")
TYPES = {"d": "double", "l": "long", "i": "integer", "b": "boolean", "s": "string"}
ROUNDS = 60


def _row(rng: Rng) -> dict[str, Any]:
    """Return a row with what is hard to read the same: the ends of types, and odd texts."""
    doubles = [0, -0.0, 1, 2**53 + 1, 2**70, 1e308, 5e-324, 0.1, -7, 1e2, float(rng.normal())]
    longs = [0, -1, 2**53, -(2**53), int(rng.integers(-9, 9))]
    texts = ["", "1.5", "null", "größe", "\U0001f600", 'q"\\', "2024-01-01", " a "]
    return {
        "d": doubles[int(rng.integers(len(doubles)))],
        "l": longs[int(rng.integers(len(longs)))],
        "i": [2**31 - 1, -(2**31), 3][int(rng.integers(3))],
        "b": bool(rng.integers(2)),
        "s": texts[int(rng.integers(len(texts)))],
    }


@pytest.fixture(scope="module")
def telling(tmp_path_factory: pytest.TempPathFactory) -> Served:
    """Serve a model that answers what it got."""
    inputs = [column(kind, name) for name, kind in TYPES.items()]
    save = partial(save_python, model=Answers(tell), inputs=inputs)
    kind = Kind("telling", save, lambda rng, count: [_row(rng) for _ in range(count)])
    return Served(kind, tmp_path_factory.mktemp("telling"))


@pytest.fixture(scope="module")
def codec(telling: Served) -> PlainScoring:
    """Return the codec of its contract."""
    return PlainScoring(telling.contract, AnswerForm.VALUES)


def forms(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Return the plain bodies of these rows."""
    names = list(TYPES)
    split = {"columns": names, "data": [[row[name] for name in names] for row in rows]}
    shuffled = [dict(reversed(row.items())) for row in rows]
    return [
        {"dataframe_split": split},
        {"dataframe_split": {"index": list(range(len(rows))), **split}},
        {"dataframe_split": {**split, "index": ["x"] * len(rows)}},
        {"dataframe_records": rows},
        {"instances": shuffled},
        {"inputs": {name: [row[name] for row in rows] for name in names}},
    ]


def by_mlflow(served: Served, body: bytes) -> Any:
    """Return what MLflow's own code answers."""
    answered = served.worker.scoring.answer(JSON, body, Bounds(len(body), 2**27))
    return json.loads(answered.body)


def test_a_call_says_what_mlflow_reads(telling: Served, codec: PlainScoring) -> None:
    """In each form, for values at the ends of their types."""
    rng = np.random.default_rng(7)
    for _ in range(ROUNDS):
        rows = [_row(rng) for _ in range(int(rng.integers(1, 5)))]
        for given in forms(rows):
            body = json.dumps(given).encode()
            call, wanted = codec.decode(body)
            predictions = telling.answer(call)
            ours = codec.encode(predictions, 0, predictions.rows, wanted, NAMES)
            # It answers a frame of one column, whose name is no part of this.
            theirs = [next(iter(row.values())) for row in by_mlflow(telling, body)["predictions"]]
            assert json.loads(ours)["predictions"] == theirs, body


ROW = '"d":1,"l":1,"i":1,"b":true,"s":"a"'


@pytest.mark.parametrize(
    "body",
    [
        "",
        "[]",
        "{}",
        '{"instances":[]}',
        '{"instances":[{%s}],"inputs":{}}',
        '{"instances":[{%s}],"params":{}}',
        '{"instances":[{%s}],"more":1}',
        '{"instances":[{%s,"more":1}]}',
        '{"messages":[]}',
        '{"instances":[{"d":"1.5","l":1,"i":1,"b":true,"s":"a"}]}',
        '{"instances":[{"d":null,"l":1,"i":1,"b":true,"s":"a"}]}',
        '{"instances":[{"d":NaN,"l":1,"i":1,"b":true,"s":"a"}]}',
        '{"instances":[{"d":-0,"l":1,"i":1,"b":true,"s":"a"}]}',
        '{"instances":[{"d":1,"l":9007199254740993,"i":1,"b":true,"s":"a"}]}',
        '{"instances":[{"d":1,"l":1.5,"i":1,"b":true,"s":"a"}]}',
        '{"instances":[{"d":1,"l":1,"i":2147483648,"b":true,"s":"a"}]}',
        '{"instances":[{"d":1,"l":1,"i":1,"b":1,"s":"a"}]}',
        '{"instances":[{"d":true,"l":1,"i":1,"b":true,"s":"a"}]}',
        '{"instances":[{"d":1,"l":1,"i":1,"b":true,"s":2}]}',
        '{"instances":[{"d":1,"l":1,"i":1,"b":true}]}',
        '{"instances":[{%s}],"client_request_id":1}',
        '{"dataframe_split":{"data":[[1,1,1,true,"a"]]}}',
        '{"dataframe_split":{"columns":["l","d","i","b","s"],"data":[[1,1,1,true,"a"]]}}',
        '{"dataframe_split":{"columns":["d","l","i","b","s"],"data":[[1,1,1,true]]}}',
        '{"dataframe_split":{"columns":["d","l","i","b","s"],"data":[[1,1,1,true,"a"]],"index":[]}}',
        '{"inputs":{"d":[1],"l":[1,2],"i":[1],"b":[true],"s":["a"]}}',
        '{"inputs":{"d":1,"l":1,"i":1,"b":true,"s":"a"}}',
    ],
)
def test_what_is_not_certain_is_left_to_mlflow(codec: PlainScoring, body: str) -> None:
    """Whatever MLflow makes of it: nothing is decided here."""
    with pytest.raises(NotPlainError):
        codec.decode(body.replace("%s", ROW).encode())


def test_bytes_that_are_no_text_are_left_to_mlflow(codec: PlainScoring) -> None:
    """It refuses them."""
    with pytest.raises(NotPlainError):
        codec.decode(b'{"instances":[{"d":1,"l":1,"i":1,"b":true,"s":"\xff"}]}')


def test_what_a_body_calls_the_request_is_known(codec: PlainScoring) -> None:
    """As MLflow's own way has it."""
    body = f'{{"client_request_id":"a b","instances":[{{{ROW}}}]}}'.encode()
    assert codec.decode(body)[1].client_request_id == "a b"


@pytest.mark.parametrize(
    ("name", "form"),
    [
        ("fitted forest", AnswerForm.VALUES),
        ("fitted forest of labels", AnswerForm.VALUES),
        ("fitted forest of shares", AnswerForm.VALUES),
        ("fitted forest of two outputs", AnswerForm.VALUES),
        ("fitted lightgbm", AnswerForm.VALUES),
        # Its answers may be of another type for other rows.
        ("given double", None),
        ("given optional double", None),
        ("typed items", None),
    ],
)
def test_the_form_of_a_models_answers_is_found_by_asking_both_ways(
    name: str, form: AnswerForm | None, tmp_path: Path
) -> None:
    """And then each further row is answered as MLflow answers it."""
    served = Served(KINDS[name], tmp_path)
    rows = served.kind.rows(np.random.default_rng(3), 6)
    example = served.call(rows[:2], {}) if form else None
    assert served.worker.scored_as(example) == form
    if form is None:
        return
    codec = PlainScoring(served.contract, form)
    for given in ({"instances": rows}, {"dataframe_records": rows[2:]}):
        body = json.dumps(given).encode()
        call, wanted = codec.decode(body)
        predictions = served.answer(call)
        ours = codec.encode(predictions, 0, predictions.rows, wanted, NAMES)
        for mine, its in zip(
            json.loads(ours)["predictions"], by_mlflow(served, body)["predictions"], strict=True
        ):
            assert (
                mine == pytest.approx(its, rel=1e-12)
                if isinstance(its, float | list)
                else mine == its
            )
