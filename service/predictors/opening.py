"""Open the engines that the compiler chose, from the files that it wrote."""

from pathlib import Path
from typing import Any

import msgspec

from service.contracts.contract import Contract
from service.predictors.engines import catalog
from service.predictors.engines.catalog import recipe_of, steps_of, whole_of
from service.predictors.engines.compiled import CompiledPredictor, in_turn
from service.predictors.engines.engine import SkippedError
from service.predictors.engines.model_parts import Anatomy, dissect
from service.predictors.engines.native import NativePredictor
from service.predictors.predictor import Predictor
from service.predictors.pyfunc import PyfuncPredictor
from service.predictors.report import Report
from service.predictors.tuned import TunedPredictor

REPORT = "report.json"


def open_tuned(
    model: Any, contract: Contract, folder: Path, threads: int
) -> tuple[TunedPredictor, Report]:
    """Open what the compiler wrote for this model; only what some size takes is opened.

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


def way(name: str, anatomy: Anatomy, folder: Path, threads: int, steps: str) -> Predictor:
    """Open one way from its files. Raise SkippedError, and whatever opening raises."""
    if name == NativePredictor.name:
        return NativePredictor(anatomy)
    if name in catalog.WHOLES:
        output = whole_of(name).open(anatomy, place_of(folder, name), threads)
        return CompiledPredictor(name, anatomy.contract, output)
    if name in catalog.RECIPES and not steps:
        raise SkippedError("no way to do the steps before its estimator is right")
    estimate = recipe_of(name).open(anatomy, place_of(folder, name), threads)
    transform = steps_of(steps).open(anatomy, place_of(folder, steps), threads)
    return CompiledPredictor(name, anatomy.contract, in_turn(transform, estimate))


def place_of(folder: Path, name: str) -> Path:
    """Return the folder of one way's files."""
    return folder / name.replace(" ", "-")
