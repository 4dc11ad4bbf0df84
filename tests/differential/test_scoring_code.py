"""MLflow's own scoring code and ours, in one process: what they make of the same bodies.

A few kinds of model get all bodies and some of Hypothesis'; with HOTSWAP_LONG_FAULTS=1 every kind
gets them. `test_scoring_servers.py` compares some over HTTP.
"""

import os
import warnings
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings

with warnings.catch_warnings():
    warnings.simplefilter("ignore")  # MLflow's own, at import
    import mlflow
    from mlflow.exceptions import MlflowException
    from mlflow.pyfunc import scoring_server

    from tests.support.kinds.every import KINDS
    from tests.support.kinds.kind import Kind

from service.codecs.bounds import Bounds
from service.core.errors import ModelFailedError, ScoringError, UnwritableAnswerError
from service.workers.inside.scoring import JSON, Scoring
from tests.support.scoring_bodies import Body, all_bodies, as_json
from tests.support.scoring_documents import column_names, documents

LONG = os.environ.get("HOTSWAP_LONG_FAULTS") == "1"
LIMIT_BYTES = 2**27
ROWS = 3
SHORT = (
    "fitted forest of two outputs",
    "fitted forest of labels",
    "answers a frame",
    "answers NaN",
    "given a tensor of floats",
    "given tensors with names",
    "typed items",
    "typed texts",
    "given parameters",
    "given optional boolean",
    "given optional string",
    "given optional long",
    "given datetime",
    "given binary",
    "given lists of objects",
    "given objects",
    "typed chat",
    "typed older agent",
)
HYPOTHESIS = ("fitted forest of two outputs", "given parameters", "given optional string")
"""Kinds that get bodies of Hypothesis', too."""


class Outcome(NamedTuple):
    """What became of a body: the answer's text, or the error's name."""

    status: int
    said: str | None


class Pair:
    """One model, asked by MLflow's code and by ours."""

    def __init__(self, kind: Kind, folder: Path) -> None:
        with _quiet():
            kind.save(folder / "model")
            self._model = mlflow.pyfunc.load_model(str(folder / "model"))
        self._schema = self._model.metadata.get_input_schema()
        self._scoring = Scoring(self._model)
        rows = kind.rows(np.random.default_rng(1), ROWS)
        self.bodies = all_bodies(rows, kind.params[-1] if kind.params else None)

    def outcomes(self, body: Body) -> tuple[Outcome, Outcome]:
        """Return what MLflow makes of a body, and what we do."""
        with _quiet():
            return self._theirs(body), self._ours(body)

    def _theirs(self, body: Body) -> Outcome:
        """Do as MLflow's server does around `invocations`."""
        with pytest.MonkeyPatch.context() as patched:
            patched.setenv("_MLFLOW_IS_IN_SERVING_ENVIRONMENT", "true")
            try:
                answer = scoring_server.invocations(
                    body.content, body.kind, self._model, self._schema
                )
            except MlflowException as error:
                return Outcome(error.get_http_status_code(), error.error_code)
            except Exception:  # noqa: BLE001 - its server answers 500 to all of them
                return Outcome(500, None)
        return Outcome(answer.status, answer.response)

    def _ours(self, body: Body) -> Outcome:
        try:
            scored = self._scoring.answer(
                body.kind, body.content, Bounds(len(body.content), LIMIT_BYTES)
            )
        except ScoringError as error:
            return Outcome(error.status, error.error_code)
        except UnwritableAnswerError:
            return Outcome(500, None)
        except ModelFailedError:
            return Outcome(400, "BAD_REQUEST")
        return Outcome(200, scored.body.decode())


@contextmanager
def _quiet() -> Iterator[None]:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # MLflow warns of most odd bodies
        yield


def is_listed(theirs: Outcome, ours: Outcome) -> bool:
    """Tell whether they differ as docs/protocols.md says: MLflow's server fails over the body."""
    return theirs == (500, None) and ours == (400, "BAD_REQUEST")


@pytest.mark.parametrize("name", KINDS if LONG else SHORT)
def test_each_body_is_answered_as_mlflow_answers_it(name: str, tmp_path: Path) -> None:
    """To the byte, or by the same status and error; but for those that MLflow itself fails over."""
    pair = Pair(KINDS[name], tmp_path)
    counted: Counter[str] = Counter()
    differ: list[tuple[str, Outcome, Outcome]] = []
    for body in pair.bodies:
        theirs, ours = pair.outcomes(body)
        if is_listed(theirs, ours):
            counted["listed"] += 1
            continue
        if ours != theirs:
            differ.append((body.name, theirs, ours))
        counted[str(ours.status)] += 1
    assert differ == []
    # Neither is a model that answers nothing, nor one that is only asked what it can answer.
    assert counted["400"] >= 20, counted
    assert name not in SHORT or counted["200"] + counted["500"] > 0, counted
    # 'very deep' and 'a very long number': without them the list is longer than it needs to be.
    assert counted["listed"] >= 2, counted


@pytest.mark.parametrize("name", KINDS if LONG else HYPOTHESIS)
def test_any_document_is_answered_as_mlflow_answers_it(name: str, tmp_path: Path) -> None:
    """Whatever its values are, and whichever of a model's columns it has."""
    pair = Pair(KINDS[name], tmp_path)
    row = KINDS[name].rows(np.random.default_rng(1), 1)[0]
    seen: Counter[int] = Counter()

    @settings(
        max_examples=60,
        derandomize=True,
        database=None,
        deadline=None,
        suppress_health_check=[HealthCheck.too_slow],
    )
    @given(documents(column_names(row)))
    def compare(document: Any) -> None:
        theirs, ours = pair.outcomes(as_json("any", document))
        seen[ours.status] += 1
        assert ours == theirs or is_listed(theirs, ours)

    compare()
    assert seen[400] > 0


def test_the_list_lets_nothing_else_pass() -> None:
    """An answer where MLflow refuses, or a 500 of ours, is no listed deviation."""
    failed, refused = Outcome(500, None), Outcome(400, "BAD_REQUEST")
    assert is_listed(failed, refused)
    assert not is_listed(refused, failed)
    assert not is_listed(failed, Outcome(200, "{}"))
    assert not is_listed(refused, Outcome(400, "INVALID_PARAMETER_VALUE"))


def test_the_kinds_of_bodies_are_many() -> None:
    """By hand alone there are more than seventy for a model of columns."""
    bodies = all_bodies([{"a": 1.0}, {"a": 2.0}])
    assert len(bodies) > 70
    assert {body.kind for body in bodies} > {JSON}
