"""Call each tree of a forest by hand and sum in the estimators' order: the same bits, sooner."""

from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from service.predictors.engines.engine import Array, Estimate, SkippedError
from service.predictors.engines.forest import Forest, as_float32, forest_of
from service.predictors.engines.model_parts import ModelParts

_CallAll = Callable[[Array], Iterable[Array]]


class Trees:
    """One tree after another; see Engine."""

    def convert(self, parts: ModelParts, folder: Path) -> None:
        """Write nothing: the trees are the model's own."""
        del folder
        forest_of(parts)

    def open(self, parts: ModelParts, folder: Path, threads: int) -> Estimate:
        """Return the forest; see Engine."""
        del folder, threads
        forest = forest_of(parts)
        calls = [tree.predict for tree in forest.trees]
        return _summing(forest, lambda features: (call(features) for call in calls))


class TreesInThreads:
    """Trees shared among threads, since a tree's own call releases the GIL; see Engine."""

    def convert(self, parts: ModelParts, folder: Path) -> None:
        """Write nothing: the trees are the model's own."""
        del folder
        forest_of(parts)

    def open(self, parts: ModelParts, folder: Path, threads: int) -> Estimate:
        """Return the forest; see Engine."""
        del folder
        forest = forest_of(parts)
        if threads == 1 or len(forest.trees) == 1:
            raise SkippedError("its worker has one thread, or the forest one tree")
        return _summing(forest, _in_turns([tree.predict for tree in forest.trees], threads))


def _summing(forest: Forest, call_all: _CallAll) -> Estimate:
    takes_nan = forest.takes_nan

    def estimate(matrix: Array) -> Any:
        features = as_float32(matrix, takes_nan=takes_nan)
        answers = iter(call_all(features))
        # As scikit-learn does: from zero, tree by tree, then divided.
        total = next(answers) + 0.0
        for answer in answers:
            total += answer
        return forest.answer(total)

    return estimate


def _in_turns(calls: list[Callable[[Array], Array]], threads: int) -> _CallAll:
    """Return what calls all of them in threads, and gives their answers in their own order.

    Each answer is kept until its turn, so that the sum's bits stay the same.
    """
    pool = ThreadPoolExecutor(threads, "trees")
    shares = [calls[start::threads] for start in range(threads)]

    def run(share: list[Callable[[Array], Array]], features: Array) -> list[Array]:
        return [call(features) for call in share]

    def together(features: Array) -> Iterable[Array]:
        parts = list(pool.map(run, shares, [features] * len(shares)))
        return (parts[index % threads][index // threads] for index in range(len(calls)))

    return together
