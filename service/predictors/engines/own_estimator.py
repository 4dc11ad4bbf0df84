"""Give the model's own estimator the matrix: no frame, and no check of names."""

from pathlib import Path

from service.predictors.engines.engine import Estimate, SkippedError
from service.predictors.engines.frames import unnamed
from service.predictors.engines.model_parts import Anatomy


class OwnEstimator:
    """See Recipe."""

    def convert(self, anatomy: Anatomy, folder: Path) -> None:
        """Write nothing: it is the model's own."""
        del folder
        if anatomy.flavour == "xgboost" or not hasattr(anatomy.estimator, "__sklearn_tags__"):
            raise SkippedError("its estimator is none of scikit-learn's kind")

    def open(self, anatomy: Anatomy, folder: Path, threads: int) -> Estimate:
        """Return the estimator; see Recipe."""
        del folder, threads
        answer: Estimate = getattr(unnamed(anatomy.estimator), anatomy.method)
        return answer
