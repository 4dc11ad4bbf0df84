from pathlib import Path

from bench.contenders import GUIDE, HOTSWAP, LITSERVE, MLSERVER
from bench.machine import Machine
from bench.results import Cell, Results
from bench.targets import Target, rows


def results(**rates: tuple[float, ...]) -> Results:
    """Return a run in which contenders reached so many single-row requests a second."""
    keys = {"ours": HOTSWAP, "guide": GUIDE, "mlserver": MLSERVER, "litserve": LITSERVE}
    run = Results.begun()
    run.cells = [
        Cell(keys[name].key, "1x64", number, 1_000, rate, 1.0, 2.0, 3.0, 0, 0.1)
        for name, of_rounds in rates.items()
        for number, rate in enumerate(of_rounds, 1)
    ]
    return run


def reached(run: Results, text: str) -> list[str] | None:
    """Return what is told of one target."""
    found = [row for row in rows(run) if text in row[0]]
    return found[0][1:] if found else None


def test_a_ratio_is_taken_in_each_round_by_itself() -> None:
    """A round in which the machine was slow was slow for both."""
    run = results(ours=(1_300.0, 260.0, 1_200.0), guide=(10.0, 2.0, 10.0))
    assert reached(run, "the guide's app") == ["at least 120", "130 (120 to 130)", "yes"]


def test_the_best_peer_is_the_one_to_beat() -> None:
    """Not the first one, nor the mean of them."""
    run = results(ours=(800.0,), mlserver=(50.0,), litserve=(200.0,))
    assert reached(run, "times the best peer") == ["at least 8", "4.00", "no"]


def test_what_was_not_measured_is_not_told() -> None:
    """Neither as reached nor as missed."""
    assert reached(results(ours=(800.0,)), "the guide's app") is None


def test_a_round_that_the_other_missed_does_not_count() -> None:
    """One that broke half-way has no cell there."""
    run = results(ours=(100.0, 900.0), guide=(10.0,))
    target = Target("", HOTSWAP.key, (GUIDE.key,), "1x64", lambda cell: cell.rate, at_least=1)
    spread = target.reached(run)
    assert spread
    assert (spread.least, spread.most) == (10.0, 10.0)


def test_a_run_is_what_its_file_says(tmp_path: Path) -> None:
    """So that the page can be written again."""
    path = tmp_path / "deep" / "run.json"
    run = results(ours=(1.0,))
    run.write(path)
    assert Results.read(path) == run
    assert isinstance(run.machine, Machine)
