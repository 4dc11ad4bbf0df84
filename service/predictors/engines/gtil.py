"""Have treelite's interpreter answer for a forest: bit-equal, and the fastest for a few rows."""

from pathlib import Path
from typing import Any

from service.predictors.engines.engine import Array, Estimate, SkippedError
from service.predictors.engines.forest import as_float32, check_size, forest_of
from service.predictors.engines.libraries import require
from service.predictors.engines.model_parts import Anatomy

_FILE = "forest.treelite"


class Gtil:
    """See Recipe."""

    def convert(self, anatomy: Anatomy, folder: Path) -> None:
        """Write the forest as treelite has it."""
        treelite = require("treelite")
        forest = forest_of(anatomy)
        if len(forest.trees) == 1:
            raise SkippedError("treelite takes forests, and this is a tree alone")
        check_size(forest)
        model = treelite.sklearn.import_model(forest.estimator)
        model.serialize(str(folder / _FILE))

    def open(self, anatomy: Anatomy, folder: Path, threads: int) -> Estimate:
        """Return the forest; see Recipe."""
        # More threads only cost here: where they would pay, the trees themselves are faster.
        del threads
        treelite = require("treelite")
        forest = forest_of(anatomy)
        model = treelite.Model.deserialize(str(folder / _FILE))
        predict, finish = treelite.gtil.predict, forest.finish

        def estimate(matrix: Array) -> Any:
            features = as_float32(matrix, takes_nan=False)
            mean = predict(model, features, nthread=1)
            return finish(mean)

        return estimate
