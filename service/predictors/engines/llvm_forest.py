"""Answer for a forest by machine code of our own: the same bits as scikit-learn's, sooner."""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from service.predictors.engines.engine import Array, Estimate, SkippedError
from service.predictors.engines.forest import Forest, as_float32, check_size, forest_of
from service.predictors.engines.libraries import require
from service.predictors.engines.model_parts import ModelParts
from service.predictors.engines.tree_walk import (
    WORDS,
    compile_walk,
    link_walk,
    machine_name,
    ordered,
)
from service.predictors.engines.trees import Trees

_Sum = Callable[[Array], Array | None]
"""Features of shape (rows, features) become sums of shape (rows, outputs x classes).

None where a feature is not finite in single precision.
"""
_EXACT_IN_DOUBLES = frozenset("efd")
"""Numpy's names of the types that doubles hold; others are rounded but once, to floats."""


class LlvmForest:
    """In one thread; see Engine."""

    def convert(self, parts: ModelParts, folder: Path) -> None:
        """Write the code; see Engine."""
        require("llvmlite")
        forest = forest_of(parts)
        check_size(forest)
        _code_file(folder).write_bytes(_code(forest))

    def open(self, parts: ModelParts, folder: Path, threads: int) -> Estimate:
        """Return the forest; see Engine."""
        del threads
        forest = forest_of(parts)
        return _estimating(forest, _summing(forest, folder), Trees().open(parts, folder, 1))


class LlvmForestInThreads(LlvmForest):
    """Rows shared among threads; see Engine."""

    def open(self, parts: ModelParts, folder: Path, threads: int) -> Estimate:
        """Return the forest; see Engine."""
        if threads == 1:
            raise SkippedError("its worker has one thread")
        forest = forest_of(parts)
        sum_rows = _summing(forest, folder)
        pool = ThreadPoolExecutor(threads, "forest")

        def sum_shares(features: Array) -> Array | None:
            shares = list(pool.map(sum_rows, np.array_split(features, threads)))
            sums = [share for share in shares if share is not None]
            return np.concatenate(sums) if len(sums) == len(shares) else None

        return _estimating(forest, sum_shares, Trees().open(parts, folder, 1))


class _Tables(NamedTuple):
    """A forest as `tree_walk` reads it."""

    nodes: Array
    roots: Array
    values: Array


def _estimating(forest: Forest, sum_rows: _Sum, itself: Estimate) -> Estimate:
    """Return the forest; where a feature is not finite, its own trees tell which way to go."""

    def estimate(matrix: Array) -> Any:
        if matrix.dtype.char not in _EXACT_IN_DOUBLES:
            matrix = as_float32(matrix, takes_nan=forest.takes_nan)
        sums = sum_rows(matrix)
        return itself(matrix) if sums is None else forest.answer(sums)

    return estimate


def _code_file(folder: Path) -> Path:
    """Return where the code for this kind of CPU is: what was made elsewhere is not found here."""
    return folder / f"{machine_name()}.o"


def _code(forest: Forest) -> bytes:
    return compile_walk(int(forest.estimator.n_features_in_), _width(forest))


def _width(forest: Forest) -> int:
    """Return how many numbers a tree answers with."""
    return forest.outputs * max(forest.classes)


def _summing(forest: Forest, folder: Path) -> _Sum:
    tables = _tables(forest)
    file = _code_file(folder)
    outputs, trees = tables.values.shape[1], len(tables.roots)
    expected = int(forest.estimator.n_features_in_)
    walk = link_walk(file.read_bytes() if file.is_file() else _code(forest))
    nodes, roots, values = (table.ctypes.data for table in tables)

    def sum_rows(features: Array) -> Array | None:
        rows, width = features.shape
        if width != expected:
            # The code reads where it is told to: nothing but this stops it at a row's end.
            raise ValueError(f"{width} features for a forest of {expected}")
        doubles = np.ascontiguousarray(features, np.float64)
        room, sums = np.empty(rows * width, np.int32), np.zeros((rows, outputs))
        taken, given, summed = doubles.ctypes.data, room.ctypes.data, sums.ctypes.data
        return None if walk(taken, given, rows, nodes, roots, trees, values, summed) else sums

    # An array is read by its address, which keeps no array alive.
    sum_rows.tables = tables  # type: ignore[attr-defined]
    return sum_rows


def _tables(forest: Forest) -> _Tables:
    counts = [tree.node_count for tree in forest.trees]
    outputs = _width(forest)
    nodes = np.zeros(sum(counts), [("threshold", "i4"), ("feature", "i4"), ("onward", "i4", (2,))])
    values = np.empty((len(nodes), outputs))
    starts = np.cumsum([0, *counts[:-1]])
    for tree, start in zip(forest.trees, starts, strict=True):
        part = slice(start, start + tree.node_count)
        values[part] = tree.value.reshape(tree.node_count, outputs)
        here = np.arange(tree.node_count)
        leaf = tree.children_left < 0
        nodes["threshold"][part] = np.where(leaf, 0, ordered(_single(tree.threshold)))
        nodes["feature"][part] = np.where(leaf, 0, tree.feature)
        for way, children in enumerate((tree.children_left, tree.children_right)):
            nodes["onward"][part, way] = (start + np.where(leaf, here, children)) * WORDS
    return _Tables(nodes, (starts * WORDS).astype(np.int32), values)


def _single(thresholds: Array) -> Array:
    """Return the greatest floats that are not greater: every float is compared as before."""
    with np.errstate(over="ignore"):
        single: Array = thresholds.astype(np.float32)
    above = single > thresholds
    single[above] = np.nextafter(single[above], np.float32(-np.inf))
    return single
