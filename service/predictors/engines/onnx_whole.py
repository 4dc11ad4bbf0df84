"""Have onnxruntime do all of a model, by the graph that skl2onnx makes of it in doubles."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from service.contracts.contract import Call, InputSpec
from service.predictors.engines.columns import block_of, is_number, tabular
from service.predictors.engines.engine import Array, BeyondError, SkippedError, Transform
from service.predictors.engines.forest import CLASSIFIERS, REGRESSORS, TREES
from service.predictors.engines.libraries import require
from service.predictors.engines.model_parts import ModelParts
from service.predictors.engines.onnx_sessions import open_session

_FILE = "model.onnx"
_MATRIX = "x"


class OnnxWhole:
    """See WholeEngine."""

    def convert(self, parts: ModelParts, folder: Path) -> None:
        """Write the graph of the pipeline, or of the estimator alone."""
        if type(parts.estimator) in {*REGRESSORS, *CLASSIFIERS, *TREES}:
            raise SkippedError("skl2onnx sums trees in single precision")
        if parts.method not in {"predict", "predict_proba"}:
            raise SkippedError(f"its predict_fn is {parts.method}")
        write_graph(parts, parts.raw, folder / _FILE)

    def open(self, parts: ModelParts, folder: Path, threads: int) -> Callable[[Call], Any]:
        """Return the model; see WholeEngine."""
        del threads  # linear models take less time than it takes to wake another thread
        session = open_session(folder / _FILE, 1)
        feed = feeding(parts)
        outputs = [output.name for output in session.get_outputs()]
        wanted = outputs[1] if parts.method == "predict_proba" else outputs[0]
        flat = len(outputs) == 1
        run = session.run

        def answer(call: Call) -> Any:
            (output,) = run([wanted], feed(call))
            # skl2onnx gives a column where scikit-learn gives a flat array.
            return output[:, 0] if flat and output.ndim == 2 and output.shape[1] == 1 else output  # noqa: PLR2004

        return answer


def write_graph(parts: ModelParts, fitted: Any, file: Path) -> None:
    """Convert what takes the model's inputs, a column each or one matrix, in doubles."""
    skl2onnx = require("skl2onnx")
    types = require("skl2onnx.common.data_types")
    contract = parts.contract
    if _takes_columns(parts):
        initial = [
            (
                spec.name,
                types.DoubleTensorType([None, 1]) if is_number(spec) else _text(types, spec),
            )
            for spec in contract.inputs
        ]
    else:
        width = len(contract.inputs) if tabular(contract) else contract.inputs[0].shape[0]
        initial = [(_MATRIX, types.DoubleTensorType([None, width]))]
    final = fitted[-1] if hasattr(fitted, "steps") else fitted
    options = {id(final): {"zipmap": False}} if hasattr(final, "classes_") else None
    graph = skl2onnx.to_onnx(fitted, initial_types=initial, options=options)
    file.write_bytes(graph.SerializeToString())


def feeding(parts: ModelParts) -> Callable[[Call], dict[str, Array]]:
    """Return what makes of a call the inputs of such a graph."""
    contract = parts.contract
    if not _takes_columns(parts):
        block = block_of(contract, range(len(contract.inputs)))

        def matrix(call: Call) -> dict[str, Array]:
            return {_MATRIX: _checked(np.ascontiguousarray(block(call), np.float64))}

        return matrix
    columns: list[tuple[str, Transform]] = [
        (spec.name, _column(spec, index, block_of(contract, [index]) if is_number(spec) else None))
        for index, spec in enumerate(contract.inputs)
    ]
    return lambda call: {name: part(call) for name, part in columns}


def _takes_columns(parts: ModelParts) -> bool:
    first = (parts.steps or (parts.estimator,))[0]
    return tabular(parts.contract) and hasattr(first, "transformers_")


def _text(types: Any, spec: InputSpec) -> Any:
    if spec.type != "string":
        raise SkippedError(f"the column {spec.name} is no number and no text")
    return types.StringTensorType([None, 1])


def _column(spec: InputSpec, index: int, block: Transform | None) -> Transform:
    if block is not None:
        return lambda call: _checked(block(call).astype(np.float64))

    def texts(call: Call) -> Array:
        column: Any = call.columns[index]
        if None in column:
            raise BeyondError(f"{spec.name} is missing")
        return np.array(column, object).reshape(-1, 1)

    return texts


def _checked(matrix: Array) -> Array:
    """Leave missing values to the model: graphs and scikit-learn differ in them."""
    if not np.isfinite(matrix).all():
        raise BeyondError("a value is missing or not finite")
    return matrix
