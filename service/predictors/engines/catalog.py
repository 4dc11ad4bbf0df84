"""The names of all engines, and the module of each: to add one, write its module and name it here.

A module is imported when the first of its engines is opened.
"""

from typing import Any

from service.predictors.engines.engine import Recipe, SkippedError, Steps, WholeRecipe
from service.processes.inside.late_imports import late_import

STEPS = {
    "direct": "direct_steps:DirectSteps",
    "onnx": "onnx_steps:OnnxSteps",
    "own": "own_steps:OwnSteps",
}
"""The fastest of these that gives the same matrix stands before every recipe."""

RECIPES = {
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
"""Ways to do what the estimator does."""

WHOLES = {"onnx": "onnx_whole:OnnxWhole"}
"""Ways to do all of a model."""

FIRST_STEPS = ("direct", "own")
FIRST_RECIPES = ("llvm forest", "boosting", "linear", "xgboost in place")
"""Of all these, what is ready immediately: it is tried before the rest, which takes seconds."""

_FOLDER = "service.predictors.engines."


def steps_of(name: str) -> Steps:
    """Return the steps of a name. Raise SkippedError for a name that there is not."""
    found: Steps = _made(STEPS, name)
    return found


def recipe_of(name: str) -> Recipe:
    """Return the recipe of a name. Raise SkippedError for a name that there is not."""
    found: Recipe = _made(RECIPES, name)
    return found


def whole_of(name: str) -> WholeRecipe:
    """Return the recipe of a name. Raise SkippedError for a name that there is not."""
    found: WholeRecipe = _made(WHOLES, name)
    return found


def modules() -> list[str]:
    """Return the modules of all engines."""
    places = {**STEPS, **RECIPES, **{f"whole {name}": where for name, where in WHOLES.items()}}
    return sorted({_split(where)[0] for where in places.values()})


def _made(table: dict[str, str], name: str) -> Any:
    if name not in table:
        raise SkippedError(f"no way has the name {name!r}")
    module, class_name = _split(table[name])
    return getattr(late_import(module), class_name)()


def _split(where: str) -> tuple[str, str]:
    module, _, class_name = where.partition(":")
    return (module if "." in module else _FOLDER + module), class_name
