"""What MLflow's casts make of values of other types: by the installed MLflow, and by ours."""

import json
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

with warnings.catch_warnings():
    warnings.simplefilter("ignore")  # MLflow's own, at import
    import mlflow
    from mlflow.exceptions import MlflowException
    from mlflow.pyfunc import scoring_server

    from tests.support.kinds.kind import Answers, column, save_python

from service.codecs.bounds import Bounds
from service.core.errors import ScoringError
from service.workers.inside.scoring import JSON, Scoring

TYPES = ("double", "long", "integer", "boolean", "string")


@pytest.fixture(scope="module")
def echoes(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, Any]]:
    """Load a model of one column for each type."""
    folder = tmp_path_factory.mktemp("echoes")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield {kind: _saved(folder / kind, kind) for kind in TYPES}


def _rows(frame: Any) -> Any:
    return frame.to_dict(orient="records")


def _saved(folder: Path, kind: str) -> Any:
    save_python(folder, Answers(_rows), inputs=[column(kind, "a")])
    return mlflow.pyfunc.load_model(str(folder))


def answers(model: Any, value: object) -> tuple[object, object]:
    """Return what MLflow's code answers for one value, and what ours does: a value or a code."""
    body = json.dumps({"dataframe_split": {"columns": ["a"], "data": [[value]]}}).encode()
    schema = model.metadata.get_input_schema()
    theirs: object
    ours: object
    try:
        response = scoring_server.invocations(body, JSON, model, schema).response
        theirs = json.loads(response)["predictions"][0]["a"]
    except MlflowException as error:
        theirs = error.error_code
    try:
        scored = Scoring(model).answer(JSON, body, Bounds(len(body), 2**27))
        ours = json.loads(scored.body)["predictions"][0]["a"]
    except ScoringError as error:
        ours = error.error_code
    return theirs, ours


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize(
    ("kind", "given", "expected"),
    [
        ("double", "1.5", 1.5),
        ("long", 1.9, 1),
        ("long", 2**63, -(2**63)),
        ("integer", 2**31, -(2**31)),
        ("boolean", "false", True),
        ("boolean", "", False),
        ("boolean", 2, True),
        ("string", 5, 5),
        ("string", True, True),
        ("double", "x", "BAD_REQUEST"),
    ],
)
def test_values_of_other_types_are_cast_as_mlflow_casts_them(
    echoes: dict[str, Any], kind: str, given: object, expected: object
) -> None:
    """Texts are read as numbers, numbers cut and wrapped around, and any text is true."""
    assert answers(echoes[kind], given) == (expected, expected)


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("kind", TYPES)
def test_nulls_are_what_the_installed_mlflow_makes_of_them(
    echoes: dict[str, Any], kind: str
) -> None:
    """Which differs between its releases for truths and texts: False and 'None', or kept."""
    theirs, ours = answers(echoes[kind], None)
    assert ours == theirs or ours is theirs
