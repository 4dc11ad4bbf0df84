"""Give the model's own estimator the matrix: no frame, and no check of names."""

from pathlib import Path

from service.predictors.engines.engine import Estimate, SkippedError
from service.predictors.engines.frames import unnamed
from service.predictors.engines.model_parts import ModelParts


class OwnEstimator:
    """See Engine."""

    def convert(self, parts: ModelParts, folder: Path) -> None:
        """Write nothing: it is the model's own."""
        del folder
        if parts.flavour == "xgboost" or not hasattr(parts.estimator, "__sklearn_tags__"):
            raise SkippedError("its estimator is none of scikit-learn's kind")

    def open(self, parts: ModelParts, folder: Path, threads: int) -> Estimate:
        """Return the estimator; see Engine."""
        del folder, threads
        answer: Estimate = getattr(unnamed(parts.estimator), parts.method)
        return answer
