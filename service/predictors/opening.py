"""Open the engines that the compiler chose, from the files that it wrote."""

from pathlib import Path
from typing import Any

import msgspec

from service.contracts.contract import Contract
from service.predictors.engine_counts import EngineCounts
from service.predictors.engines import catalog
from service.predictors.engines.catalog import engine_of, steps_of, whole_engine_of
from service.predictors.engines.compiled import CompiledPredictor, in_turn
from service.predictors.engines.engine import SkippedError
from service.predictors.engines.model_parts import ModelParts, unwrap
from service.predictors.engines.native import NativePredictor
from service.predictors.predictor import Predictor
from service.predictors.pyfunc import PyfuncPredictor
from service.predictors.report import Report
from service.predictors.tuned import TunedPredictor

REPORT = "report.json"


def open_tuned(
    model: Any,
    contract: Contract,
    folder: Path,
    threads: int,
    counts: EngineCounts | None = None,
) -> tuple[TunedPredictor, Report]:
    """Open what the compiler wrote for this model; only what some size takes is opened.

    What MLflow's own call answers instead of an engine is counted in `counts`. Raise whatever
    opening raises.
    """
    report = msgspec.json.decode((folder / REPORT).read_bytes(), type=Report)
    pyfunc = PyfuncPredictor(model, contract)
    wanted = set(report.best.values()) - {pyfunc.name}
    others: dict[str, Predictor] = {}
    if wanted:
        parts = unwrap(model, contract)
        for name in wanted:
            others[name] = open_engine(name, parts, folder, threads, report.steps)
    return TunedPredictor(pyfunc, others, report.best, counts), report


def open_engine(name: str, parts: ModelParts, folder: Path, threads: int, steps: str) -> Predictor:
    """Open one engine from its files. Raise SkippedError, and whatever opening raises."""
    if name == NativePredictor.name:
        return NativePredictor(parts)
    if name in catalog.WHOLE_ENGINES:
        output = whole_engine_of(name).open(parts, place_of(folder, name), threads)
        return CompiledPredictor(name, parts.contract, output)
    if name in catalog.ENGINES and not steps:
        raise SkippedError("none of the engines for the steps before its estimator is right")
    estimate = engine_of(name).open(parts, place_of(folder, name), threads)
    transform = steps_of(steps).open(parts, place_of(folder, steps), threads)
    return CompiledPredictor(name, parts.contract, in_turn(transform, estimate))


def place_of(folder: Path, name: str) -> Path:
    """Return the folder of one engine's files."""
    return folder / name.replace(" ", "-")
