"""The names of all engines, and the module of each: to add one, write its module and name it here.

A module is imported when the first of its engines is opened.
"""

from typing import Any

from service.predictors.engines.engine import Engine, SkippedError, Steps, WholeEngine
from service.processes.inside.late_imports import late_import

STEPS = {
    "direct": "direct_steps:DirectSteps",
    "onnx": "onnx_steps:OnnxSteps",
    "own": "own_steps:OwnSteps",
}
"""Engines for a model's steps; the fastest with the same matrix stands before each estimator."""

ENGINES = {
    "llvm forest": "llvm_forest:LlvmForest",
    "llvm forest in threads": "llvm_forest:LlvmForestInThreads",
    "trees": "trees:Trees",
    "trees in threads": "trees:TreesInThreads",
    "boosting": "boosting:Boosting",
    "linear": "linear:Linear",
    "treelite booster": "boosters:Boosters",
    "xgboost in place": "boosters:XgboostInPlace",
    "matrix": "own_estimator:OwnEstimator",
}
"""Engines for a model's estimator."""

WHOLE_ENGINES = {"onnx": "onnx_whole:OnnxWhole"}
"""Engines for all of a model."""

FIRST_STEPS = ("direct", "own")
FIRST_ENGINES = ("llvm forest", "boosting", "linear", "xgboost in place")
"""Engines that are ready immediately; they are tried before the rest, which takes seconds."""

_FOLDER = "service.predictors.engines."


def steps_of(name: str) -> Steps:
    """Return the steps of a name. Raise SkippedError where there are none of that name."""
    found: Steps = _made(STEPS, name)
    return found


def engine_of(name: str) -> Engine:
    """Return the engine of a name. Raise SkippedError where there is none of that name."""
    found: Engine = _made(ENGINES, name)
    return found


def whole_engine_of(name: str) -> WholeEngine:
    """Return the engine of a name. Raise SkippedError where there is none of that name."""
    found: WholeEngine = _made(WHOLE_ENGINES, name)
    return found


def modules() -> list[str]:
    """Return the modules of all engines."""
    tables = (STEPS, ENGINES, WHOLE_ENGINES)
    return sorted({_split(where)[0] for table in tables for where in table.values()})


def _made(table: dict[str, str], name: str) -> Any:
    if name not in table:
        raise SkippedError(f"no engine has the name {name!r}")
    module, class_name = _split(table[name])
    return getattr(late_import(module), class_name)()


def _split(where: str) -> tuple[str, str]:
    module, _, class_name = where.partition(":")
    return (module if "." in module else _FOLDER + module), class_name
