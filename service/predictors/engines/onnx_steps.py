"""Do the steps before an estimator by the graph that skl2onnx makes of them in doubles."""

from pathlib import Path
from typing import Any

from sklearn.pipeline import Pipeline

from service.contracts.contract import Call
from service.predictors.engines.engine import Array, SkippedError, Transform
from service.predictors.engines.model_parts import ModelParts
from service.predictors.engines.onnx_sessions import open_session
from service.predictors.engines.onnx_whole import feeding, write_graph

_FILE = "steps.onnx"


class OnnxSteps:
    """See Steps."""

    def convert(self, parts: ModelParts, folder: Path) -> None:
        """Write the graph."""
        if not parts.steps:
            raise SkippedError("there are no steps before the estimator")
        steps: Any = parts.steps[0]
        if len(parts.steps) > 1:
            steps = Pipeline([(f"step{at}", step) for at, step in enumerate(parts.steps)])
        write_graph(parts, steps, folder / _FILE)

    def open(self, parts: ModelParts, folder: Path, threads: int) -> Transform:
        """Return the steps; see Steps."""
        del threads  # these take less time than it takes to wake another thread
        run = open_session(folder / _FILE, 1).run
        feed = feeding(parts)

        def transform(call: Call) -> Array:
            matrix: Array = run(None, feed(call))[0]
            return matrix

        return transform
