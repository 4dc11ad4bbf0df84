"""Each batch is answered by the fastest for its size, and by pyfunc where that one fails."""

import msgspec
import pytest

from service.contracts.contract import Filled
from service.core.errors import ModelFailedError
from service.predictors.engine_counts import EngineCounts
from service.predictors.engines.engine import BeyondError
from service.predictors.outputs import ModelOutputError
from service.predictors.tuned import TunedPredictor
from tests.support.stub_predictors import Stub, call_of, raising

BEST = {1: "small", 8: "small", 64: "middle", 512: "pyfunc", 4096: "large"}


def stubs() -> dict[str, Stub]:
    """Give a predictor for each size, and the one that is always right."""
    return {name: Stub(name, lambda a: a + 1) for name in ("pyfunc", "small", "middle", "large")}


@pytest.mark.parametrize(
    ("rows", "name"),
    [
        (1, "small"),
        (8, "small"),
        (22, "small"),
        (23, "middle"),
        (181, "middle"),
        (182, "pyfunc"),
        (1448, "pyfunc"),
        (1449, "large"),
        (100_000, "large"),
    ],
)
def test_a_batch_takes_the_nearest_size_that_was_measured(rows: int, name: str) -> None:
    """Near by ratio, not by difference."""
    known = stubs()
    tuned = TunedPredictor(known["pyfunc"], known, BEST)
    tuned.predict(call_of([1.0] * rows))
    assert {one: stub.asked for one, stub in known.items() if stub.asked} == {name: [rows]}


def test_pyfunc_answers_where_nothing_was_measured() -> None:
    """Without a table there is no choice."""
    known = stubs()
    TunedPredictor(known["pyfunc"], {}, {}).predict(call_of([1.0]))
    assert known["pyfunc"].asked == [1]


@pytest.mark.parametrize("error", [ValueError("odd"), ModelOutputError("of another shape")])
def test_pyfunc_answers_where_another_fails(
    error: Exception, capsys: pytest.CaptureFixture[str]
) -> None:
    """The caller gets pyfunc's answer; the log gets a line."""
    known = stubs()
    known["small"] = Stub("small", raising(error))
    counts = EngineCounts()
    tuned = TunedPredictor(known["pyfunc"], known, BEST, counts)
    assert tuned.predict(call_of([1.0])) == known["pyfunc"].predict(call_of([1.0]))
    assert tuned.faults == counts.faults == {"small": 1}
    told = capsys.readouterr().err
    assert f"predictor 'small' failed (1): {type(error).__name__}; " in told
    # It may quote a value of the request.
    assert str(error) not in told


def test_what_is_raised_is_pyfuncs_own_error() -> None:
    """Compiled code has no words of its own for callers."""
    known = stubs()
    known["small"] = Stub("small", raising(ValueError("of compiled code")))
    known["pyfunc"] = Stub("pyfunc", raising(ModelFailedError("of the model")))
    tuned = TunedPredictor(known["pyfunc"], known, BEST)
    with pytest.raises(ModelFailedError, match="of the model"):
        tuned.predict(call_of([1.0]))
    assert not tuned.faults


def test_one_that_keeps_failing_is_used_no_more() -> None:
    """Three times are enough; sizes that others answer are theirs still."""
    known = stubs()
    known["small"] = Stub("small", raising(ValueError("odd")))
    tuned = TunedPredictor(known["pyfunc"], known, BEST)
    for _ in range(5):
        tuned.predict(call_of([1.0]))
    assert known["small"].asked == [1, 1, 1]
    assert known["pyfunc"].asked == [1] * 5
    tuned.predict(call_of([1.0] * 64))
    assert known["middle"].asked == [64]


def test_rows_that_are_left_to_pyfunc_are_no_fault(capsys: pytest.CaptureFixture[str]) -> None:
    """They are counted, and the next call is tried again."""
    known = stubs()
    known["small"] = Stub("small", raising(BeyondError("a category is missing")))
    counts = EngineCounts()
    tuned = TunedPredictor(known["pyfunc"], known, BEST, counts)
    for _ in range(5):
        tuned.predict(call_of([1.0]))
    assert known["small"].asked == known["pyfunc"].asked == [1] * 5
    assert counts.fallbacks == {"small": 5}
    assert not tuned.faults
    assert capsys.readouterr().err == ""


def test_a_call_that_lacks_a_column_goes_to_pyfunc() -> None:
    """What is compiled was compared on rows that have all."""
    known = stubs()
    call = msgspec.structs.replace(call_of([1.0]), filled=bytes([Filled.ABSENT]))
    counts = EngineCounts()
    TunedPredictor(known["pyfunc"], known, BEST, counts).predict(call)
    assert {one for one, stub in known.items() if stub.asked} == {"pyfunc"}
    assert counts.fallbacks == {"small": 1}
    full = msgspec.structs.replace(call, filled=bytes([Filled.PARTLY]))
    TunedPredictor(known["pyfunc"], known, BEST).predict(full)
    assert known["small"].asked == [1]
