"""Have onnxruntime answer for a forest, by a graph in doubles that is built from its trees.

Not by skl2onnx: its `TreeEnsembleRegressor` answers and sums in single precision. `TreeEnsemble` of
ai.onnx.ml 5 has doubles throughout; its leaves have one number each, so that a tree stands there
once for each output or class.
"""

from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from service.predictors.engines.engine import Array, Estimate, SkippedError
from service.predictors.engines.forest import Forest, as_float32, check_size, forest_of
from service.predictors.engines.libraries import require
from service.predictors.engines.model_parts import Anatomy
from service.predictors.engines.onnx_sessions import open_session

_FILE = "forest.onnx"
_IR_VERSION, _OPSET, _ML_OPSET = 10, 18, 5


class OnnxForest:
    """In one thread; see Recipe.

    With more, onnxruntime wakes them for each call, also for one row, which takes less time than
    the waking does.
    """

    def convert(self, anatomy: Anatomy, folder: Path) -> None:
        """Write the graph."""
        onnx = require("onnx")
        forest = forest_of(anatomy)
        check_size(forest)
        targets = forest.outputs * max(forest.classes)
        onnx.save(_graph(onnx, forest, targets), str(folder / _FILE))

    def open(self, anatomy: Anatomy, folder: Path, threads: int) -> Estimate:
        """Return the forest; see Recipe."""
        del threads
        return self._open(anatomy, folder, 1)

    def _open(self, anatomy: Anatomy, folder: Path, threads: int) -> Estimate:
        forest = forest_of(anatomy)
        run = open_session(folder / _FILE, threads).run
        finish, shape = forest.finish, (forest.outputs, max(forest.classes))

        def estimate(matrix: Array) -> Any:
            # scikit-learn compares single precision with thresholds in doubles.
            features = as_float32(matrix, takes_nan=False).astype(np.float64)
            (mean,) = run(None, {"x": features})
            return finish(mean.reshape(len(features), *shape))

        return estimate


class OnnxForestInThreads(OnnxForest):
    """In as many threads as its worker may use; see Recipe."""

    def open(self, anatomy: Anatomy, folder: Path, threads: int) -> Estimate:
        """Return the forest; see Recipe."""
        if threads == 1:
            raise SkippedError("its worker has one thread")
        return self._open(anatomy, folder, threads)


class _Nodes(NamedTuple):
    """The columns of all inner nodes and of all leaves, in lists that grow tree by tree."""

    feature: list[Any]
    split: list[Any]
    true: list[Any]
    true_is_leaf: list[Any]
    false: list[Any]
    false_is_leaf: list[Any]
    leaf_target: list[Any]
    leaf_weight: list[Any]


def _graph(onnx: Any, forest: Forest, targets: int) -> Any:
    nodes = _Nodes([], [], [], [], [], [], [], [])
    roots: list[int] = []
    for tree in forest.trees:
        values = tree.value.reshape(tree.node_count, targets)
        for target in range(targets):
            roots.append(len(nodes.feature))
            _add(nodes, tree, values[:, target] / len(forest.trees), target)
    helper, kind = onnx.helper, onnx.TensorProto
    doubles = {
        "nodes_splits": np.array(nodes.split, np.float64),
        "leaf_weights": np.array(nodes.leaf_weight, np.float64),
    }
    modes = np.zeros(len(nodes.feature), np.uint8)  # BRANCH_LEQ
    node = helper.make_node(
        "TreeEnsemble",
        ["x"],
        ["y"],
        domain="ai.onnx.ml",
        n_targets=targets,
        aggregate_function=1,
        post_transform=0,
        tree_roots=roots,
        nodes_featureids=nodes.feature,
        nodes_truenodeids=nodes.true,
        nodes_trueleafs=nodes.true_is_leaf,
        nodes_falsenodeids=nodes.false,
        nodes_falseleafs=nodes.false_is_leaf,
        leaf_targetids=nodes.leaf_target,
        nodes_modes=onnx.numpy_helper.from_array(modes, "nodes_modes"),
        **{name: onnx.numpy_helper.from_array(data, name) for name, data in doubles.items()},
    )
    features = int(forest.estimator.n_features_in_)
    graph = helper.make_graph(
        [node],
        "forest",
        [helper.make_tensor_value_info("x", kind.DOUBLE, [None, features])],
        [helper.make_tensor_value_info("y", kind.DOUBLE, [None, targets])],
    )
    opsets = [helper.make_opsetid("", _OPSET), helper.make_opsetid("ai.onnx.ml", _ML_OPSET)]
    return helper.make_model(graph, opset_imports=opsets, ir_version=_IR_VERSION)


def _add(nodes: _Nodes, tree: Any, values: Array, target: int) -> None:
    """Add one tree whose leaves have the values for one target."""
    left, right = tree.children_left, tree.children_right
    is_leaf = left < 0
    # Where each node goes: inner ones and leaves are counted apart.
    inner_at = np.cumsum(~is_leaf) - 1 + len(nodes.feature)
    leaf_at = np.cumsum(is_leaf) - 1 + len(nodes.leaf_weight)
    nodes.leaf_weight.extend(values[is_leaf].tolist())
    nodes.leaf_target.extend([target] * int(is_leaf.sum()))
    if is_leaf[0]:
        # A tree of one leaf is written as a node whose branches are both that leaf.
        at = int(leaf_at[0])
        for column, value in zip(nodes, (0, 0.0, at, 1, at, 1), strict=False):
            column.append(value)
        return
    inner = np.flatnonzero(~is_leaf)
    nodes.feature.extend(tree.feature[inner].tolist())
    nodes.split.extend(tree.threshold[inner].tolist())
    for children, targets_of, flags in (
        (left[inner], nodes.true, nodes.true_is_leaf),
        (right[inner], nodes.false, nodes.false_is_leaf),
    ):
        targets_of.extend(
            np.where(is_leaf[children], leaf_at[children], inner_at[children]).tolist()
        )
        flags.extend(is_leaf[children].astype(int).tolist())
