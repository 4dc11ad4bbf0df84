"""Convert a model in every way there is, admit what is right, time it; open it again from files."""

import time
from pathlib import Path
from typing import Any

import msgspec

from service.contracts.contract import Call, Contract
from service.predictors.admission import TooFewRowsError, refer, why_not
from service.predictors.compiled.anatomy import NotDissectedError, dissect
from service.predictors.predictor import Predictor
from service.predictors.pyfunc import PyfuncPredictor
from service.predictors.report import ADMITTED, REFUSED, SKIPPED, Outcome, Report
from service.predictors.rows import example_call, made_up_call
from service.predictors.tuned import TunedPredictor
from service.predictors.tuning import choose, time_sizes
from service.predictors.workshop import Workshop, way, why

REPORT = "report.json"


def compile_model(
    model: Any, contract: Contract, model_dir: Path, folder: Path, threads: int, rtol: float
) -> Report:
    """Try every way to call a model; write what they need, and the report, into an empty folder."""
    began = time.perf_counter()
    pyfunc = PyfuncPredictor(model, contract)
    outcomes: list[Outcome] = []
    steps, tried = "", list[Outcome]()
    admitted: dict[str, Predictor] = {}
    rows = example = example_call(contract, model_dir).call or made_up_call(contract)
    probe_rows = 0
    if example is None:
        outcomes.append(Outcome("all others", SKIPPED, "no row can be made up from its signature"))
    else:
        try:
            workshop = Workshop(dissect(model, contract), example, folder, threads)
            reference = refer(pyfunc, workshop.probe_calls(), workshop.odd_calls())
        except (NotDissectedError, TooFewRowsError) as error:
            outcomes.append(Outcome("all others", SKIPPED, str(error)))
        else:
            steps, tried = workshop.steps, workshop.tried
            rows, probe_rows = reference.rows, reference.rows.rows
            for name in workshop.names():
                try:
                    predictor = workshop.make(name)
                except Exception as error:  # noqa: BLE001 - a converter may raise anything
                    outcomes.append(Outcome(name, SKIPPED, why(error)))
                    continue
                reason = workshop.wrong_near_thresholds(name, rtol)
                if reason := reason or why_not(predictor, reference, rtol):
                    outcomes.append(Outcome(name, REFUSED, reason))
                else:
                    admitted[name] = predictor
    timed, best = _time({pyfunc.name: pyfunc, **admitted}, rows)
    report = Report(
        predictors=(*timed, *outcomes),
        best=best,
        steps=steps,
        steps_tried=tuple(tried),
        probe_rows=probe_rows,
        rtol=rtol,
        threads=threads,
        took_s=round(time.perf_counter() - began, 3),
    )
    (folder / REPORT).write_bytes(msgspec.json.format(msgspec.json.encode(report)))
    return report


def open_tuned(
    model: Any, contract: Contract, folder: Path, threads: int
) -> tuple[TunedPredictor, Report]:
    """Open what `compile_model` wrote, for the same model; only what some size takes is opened.

    Raise whatever opening it raises.
    """
    report = msgspec.json.decode((folder / REPORT).read_bytes(), type=Report)
    pyfunc = PyfuncPredictor(model, contract)
    wanted = set(report.best.values()) - {pyfunc.name}
    others: dict[str, Predictor] = {}
    if wanted:
        anatomy = dissect(model, contract)
        for name in wanted:
            others[name] = way(name, anatomy, folder, threads, report.steps)
    return TunedPredictor(pyfunc, others, report.best), report


def _time(
    predictors: dict[str, Predictor], rows: Call | None
) -> tuple[list[Outcome], dict[int, str]]:
    """Time all that may answer. Without a row to time them with, pyfunc answers all."""
    timings = {
        name: time_sizes(predictor, rows) if rows else {} for name, predictor in predictors.items()
    }
    timed = [Outcome(name, ADMITTED, "", ms=ms) for name, ms in timings.items()]
    return timed, choose(timings, list(predictors))
