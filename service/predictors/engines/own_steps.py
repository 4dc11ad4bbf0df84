"""Do the steps before an estimator as scikit-learn does them, on the frame that MLflow makes."""

from pathlib import Path

from service.contracts.contract import Call
from service.predictors.engines.engine import Array, SkippedError, Transform
from service.predictors.engines.frames import dense, frame_of
from service.predictors.engines.model_parts import ModelParts


class OwnSteps:
    """See Steps: the last resort, always the same."""

    def convert(self, parts: ModelParts, folder: Path) -> None:
        """Write nothing: all that is needed is in the model."""

    def open(self, parts: ModelParts, folder: Path, threads: int) -> Transform:
        """Return the steps; see Steps."""
        del folder, threads
        contract, steps = parts.contract, parts.steps
        if not steps:
            raise SkippedError("there are no steps before the estimator")

        def run(call: Call) -> Array:
            transformed = frame_of(contract, call, None)
            for step in steps:
                transformed = step.transform(transformed)
            return dense(transformed)

        return run
