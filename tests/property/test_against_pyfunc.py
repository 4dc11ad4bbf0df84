"""Whatever kind of model it is: a body is answered as pyfunc answers the same rows.

Each kind is asked by some bodies; with HOTSWAP_LONG_FAULTS=1 by twenty, and compiled in every way.
"""

import os
import warnings
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from service.core.errors import ServiceError
from tests.support.described_bodies import Validators, why_not

with warnings.catch_warnings():
    warnings.simplefilter("ignore")  # MLflow's own, at import
    from tests.support.kinds.every import KINDS
    from tests.support.kinds.kind import ROWS, Kind
    from tests.support.kinds.oracle import expected, why_unlike
    from tests.support.kinds.served import Served

ALL = os.environ.get("HOTSWAP_LONG_FAULTS") == "1"
SIZES = (2, 1, 5, 3, 1, 2, 17, 1, 4, 8, 1, 3, 2, 33, 1, 6, 2, 1, 12, 3)
FEW = 3
_COMPILED_OF = 1 if ALL else 4
"""One in so many is compiled."""

Body = tuple[list[Any], dict[str, Any]]


def bodies(kind: Kind) -> list[Body]:
    """Return the bodies for a kind: the same in each run."""
    rng = np.random.default_rng(zlib.crc32(kind.name.encode()))
    sizes = SIZES if ALL else SIZES[:FEW]
    params = kind.params or ({},)
    return [(kind.rows(rng, n), dict(params[at % len(params)])) for at, n in enumerate(sizes)]


@contextmanager
def quiet() -> Iterator[None]:
    """Leave out what models and MLflow warn of."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield


@pytest.fixture
def threads(monkeypatch: pytest.MonkeyPatch) -> None:
    """Have the environment as it was after a worker's code has set its number of threads."""
    for name in (
        "OMP_NUM_THREADS",
        "OPENBLAS_NUM_THREADS",
        "MKL_NUM_THREADS",
        "LOKY_MAX_CPU_COUNT",
    ):
        monkeypatch.setenv(name, "1")
    monkeypatch.setenv("MLFLOW_IS_IN_SERVING_ENVIRONMENT", "true")


def check(kind: Kind, how: str, answers: list[Any], wanted: list[Any]) -> None:
    """Compare the answers to one body with pyfunc's."""
    __tracebackhide__ = True
    if len(answers) != len(wanted):
        pytest.fail(f"{kind.name}, {how}: {len(answers)} answers, pyfunc has {len(wanted)}")
    for row, (ours, theirs) in enumerate(zip(answers, wanted, strict=True)):
        if reason := why_unlike(ours, theirs):
            pytest.fail(f"{kind.name}, {how}, row {row}: {reason}\n  {ours!r}\n  {theirs!r}")


def ask_all(served: Served, asked: list[tuple[Body, list[Any] | None]], how: str) -> None:
    """Ask each body alone, in every form, in chunks and together with the others."""
    kind = served.kind
    for at, (body, wanted) in enumerate(asked):
        if wanted is None:
            if not kind.lenient:
                with pytest.raises(ServiceError):
                    served.alone(*body)
            continue
        check(kind, f"{how}body {at}", served.alone(*body), wanted)
        for form in sorted(kind.forms):
            for answers in served.in_form(form, *body):
                check(kind, f"{how}body {at} in {form}", answers, wanted)
        if not (kind.alone or kind.any_rows):
            check(kind, f"{how}body {at} in chunks", served.chunked(*body), wanted)
    answered = [one for one in asked if one[1] is not None]
    if kind.alone or kind.any_rows or not answered:
        return
    together = served.together([body for body, _ in answered])
    for at, (answers_of_one, (_, wanted)) in enumerate(zip(together, answered, strict=True)):
        if answers_of_one is not None:
            check(kind, f"{how}body {at} among others", answers_of_one, wanted or [])


def check_described(served: Served, body: Body) -> None:
    """Hold a body that is taken, and its answer, to the schemas of the OpenAPI document.

    But for formats: more texts are taken for moments than RFC 3339 has.
    """
    kind = served.kind
    fitting = Validators(served.contract, non_finite_is_null=kind.nulls, formats=False)
    sent, answered = served.as_sent(*body)
    for what, validator, value in (
        ("body", fitting.request, sent),
        ("answer", fitting.answer, answered),
    ):
        if reason := why_not(validator, value):
            pytest.fail(f"{kind.name}: its {what} is not as described: {reason}")


@pytest.mark.parametrize("name", KINDS)
@pytest.mark.usefixtures("threads")
def test_a_body_is_answered_as_pyfunc_answers_its_rows(name: str, tmp_path: Path) -> None:
    """In each form, alone and among others, by pyfunc and compiled, and as it is described."""
    kind = KINDS[name]
    with quiet():
        served = Served(kind, tmp_path)
        asked = []
        for body in bodies(kind):
            try:
                wanted: list[Any] | None = expected(kind, served.model, *body)
            except Exception:  # noqa: BLE001 - then the model, or MLflow, raises for us as well
                wanted = None
            asked.append((body, wanted))
        assert any(wanted is not None for _, wanted in asked)
        ask_all(served, asked, "")
        for body in [body for body, wanted in asked if wanted is not None][:FEW]:
            check_described(served, body)
        if kind.compiles and zlib.crc32(name.encode()) % _COMPILED_OF == 0:
            served.compile(tmp_path / "compiled", first=not ALL)
            ask_all(served, asked, "compiled, ")


def test_there_are_kinds_enough() -> None:
    """Of all forms that a body may have."""
    assert len(KINDS) >= 100
    assert all(ROWS in kind.forms for kind in KINDS.values())
