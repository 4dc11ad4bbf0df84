"""Convert a model for every engine, verify what it answers, and time it."""

import shutil
import time
from pathlib import Path
from typing import Any

import msgspec

from service.contracts.contract import Call, Contract
from service.contracts.filling import with_all_columns
from service.core.text import presentable
from service.predictors.choosing.engine_builder import MOST_FEATURES, EngineBuilder, why
from service.predictors.choosing.probes import probes_of
from service.predictors.choosing.tuning import ENOUGH_S, choose, time_few, time_sizes
from service.predictors.choosing.verification import (
    Reference,
    TooFewRowsError,
    refer,
    refer_to_more,
    why_not,
)
from service.predictors.engines.model_parts import NotUnwrappedError, unwrap
from service.predictors.examples import example_call, made_up_call
from service.predictors.opening import REPORT, place_of
from service.predictors.predictor import Predictor
from service.predictors.pyfunc import PyfuncPredictor
from service.predictors.report import REFUSED, SKIPPED, VERIFIED, Outcome, Report

_OTHERS = "all others"


class _Found:
    """The outcomes so far."""

    def __init__(self) -> None:
        self.verified: dict[str, Predictor] = {}
        self.others: list[Outcome] = []
        self.steps = ""
        self.steps_tried: list[Outcome] = []
        self.probe_rows = 0


def compile_model(
    model: Any,
    contract: Contract,
    model_dir: Path,
    folder: Path,
    threads: int,
    rtol: float,
    *,
    first: bool = False,
    enough_s: float = ENOUGH_S,
    most_features: int = MOST_FEATURES,
) -> Report:
    """Try every engine on a model; write what they need, and the report, into an empty folder.

    Or only those that are ready immediately, which are compared with the model as all others are.
    Runs of one size end after `enough_s`. A model of more than `most_features` is not tried.
    """
    began = time.perf_counter()
    pyfunc = PyfuncPredictor(model, contract)
    rows = example_call(contract, model_dir).call or made_up_call(contract)
    if rows is not None:
        # Compiled predictors read all columns; a call that lacks some goes to pyfunc.
        rows = with_all_columns(contract.inputs, rows)
    found = _Found()
    if rows is None:
        found.others.append(Outcome(_OTHERS, SKIPPED, "no row can be made up from its signature"))
    else:
        try:
            parts = unwrap(model, contract)
            usual, odd = probes_of(parts, rows)
            # First without thresholds: what turns them into rows is tried on rows that are
            # answered.
            known = refer(pyfunc, usual, odd)
            rows = known.usual
            builder = EngineBuilder(
                parts, rows, folder, threads, first=first, most_features=most_features
            )
            known = refer_to_more(pyfunc, known, builder.threshold_calls())
            _try_all(builder, known, rtol, found)
        except (NotUnwrappedError, TooFewRowsError) as error:
            found.others.append(Outcome(_OTHERS, SKIPPED, presentable(str(error))))
    timed, best = _time(pyfunc, found.verified, rows, enough_s, first=first)
    report = Report(
        predictors=(*timed, *found.others),
        best=best,
        steps=found.steps,
        steps_tried=tuple(found.steps_tried),
        probe_rows=found.probe_rows,
        rtol=rtol,
        threads=threads,
        took_s=round(time.perf_counter() - began, 3),
        first=first,
    )
    (folder / REPORT).write_bytes(msgspec.json.format(msgspec.json.encode(report)))
    return report


def drop_unchosen(folder: Path, report: Report) -> None:
    """Remove the files of engines that no size takes: each load would read and check them."""
    engines = {*report.best.values(), report.steps}
    kept = {folder / REPORT, *(place_of(folder, engine) for engine in engines)}
    for place in folder.iterdir():
        if place not in kept:
            # What an open engine does not let go of stays and harms nobody.
            shutil.rmtree(place, ignore_errors=True)


def _try_all(builder: EngineBuilder, reference: Reference, rtol: float, found: _Found) -> None:
    """Find out which engines are right."""
    found.steps, found.steps_tried = builder.steps, builder.tried
    found.probe_rows = reference.rows.rows
    for name in builder.names():
        try:
            predictor = builder.make(name)
            reason = builder.wrong_near_thresholds(name, rtol)
            reason = reason or why_not(predictor, reference, rtol)
        except Exception as error:  # noqa: BLE001 - a converter may raise anything
            found.others.append(Outcome(name, SKIPPED, why(error)))
            continue
        if reason:
            found.others.append(Outcome(name, REFUSED, presentable(reason)))
        else:
            found.verified[name] = predictor


def _time(
    pyfunc: Predictor,
    verified: dict[str, Predictor],
    rows: Call | None,
    enough_s: float,
    *,
    first: bool,
) -> tuple[list[Outcome], dict[int, str]]:
    """Time all that may answer. Without a row to time them with, pyfunc answers all."""
    predictors = [pyfunc, *verified.values()]
    timings: dict[str, dict[int, float]]
    if rows is None:
        timings = {predictor.name: {} for predictor in predictors}
    elif first:
        timings = time_few(pyfunc, list(verified.values()), rows)
    else:
        timings = {one.name: time_sizes(one, rows, enough_s) for one in predictors}
    timed = [Outcome(name, VERIFIED, "", ms=ms) for name, ms in timings.items()]
    return timed, choose(timings, list(timings))
