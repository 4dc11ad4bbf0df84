"""The short form of the fuzz run: `python -m tests.fuzz` is the long one."""

from pathlib import Path

import pytest

from tests.fuzz.__main__ import PARSERS, run_cases
from tests.fuzz.served import served
from tests.fuzz.tally import Tally, Target
from tools.mlflow_server import MlflowServer

SEED = 20_261_129
CASES = {"state-files": 20, "tensors": 2_000, "messages": 2_000}
"""Of a parser; 200 of the others."""


@pytest.mark.parametrize("parser", PARSERS, ids=lambda parser: parser.name)
def test_a_reader_of_ours_only_says_what_is_wrong(parser: type[Target]) -> None:
    """It raises its own errors alone, and is done soon, whatever it is given."""
    tally = Tally(SEED, print)
    run_cases(
        [parser()],
        tally,
        {"state-files": 20, "tensors": 2_000, "messages": 2_000}.get(parser.name, 200),
    )
    assert not tally.faults, tally.table()


def test_a_service_is_as_before_whatever_it_is_sent(
    mlflow_server: MlflowServer, tmp_path: Path
) -> None:
    """It lives and answers, no larger, without a defect of its own in an answer or in its log."""
    tally = Tally(SEED, print)
    with served(tmp_path, mlflow_server) as targets:
        for target in targets:
            run_cases([target], tally, 1 if target.name == "starts" else 50)
    assert not tally.faults, tally.table()
    # Enough of what is sent gets as far as the model.
    assert tally.outcomes["json"]["200"] >= 10
    assert tally.outcomes["arrow"]["200"] >= 10
    assert tally.outcomes["tensor-calls"]["200"] >= 5
    assert tally.outcomes["message-calls"]["OK"] >= 5
    assert tally.outcomes["invocations"]["200"] >= 5
