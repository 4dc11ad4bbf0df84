"""The code of a model whose answers tell which scikit-learn and pandas it runs with.

`y` is `a` times scikit-learn's minor release, `forest` is by a forest that is trained at load, and
`pandas` is the major release of pandas.
"""

from typing import Any

import mlflow
import numpy as np
import pandas as pd
import sklearn
from sklearn.ensemble import RandomForestRegressor


class Learning(mlflow.pyfunc.PythonModel):  # type: ignore[misc]
    """Trains a forest where it is loaded, by the library that is there."""

    def load_context(self, context: object) -> None:  # noqa: ARG002 - as MLflow calls it
        """Train it, always alike."""
        rows = np.random.default_rng(7).normal(size=(200, 1))
        forest: Any = RandomForestRegressor(n_estimators=5, max_depth=4, random_state=7)
        self._forest = forest.fit(rows, np.sin(rows[:, 0]))

    def predict(
        self,
        context: object,  # noqa: ARG002 - as MLflow calls it
        model_input: pd.DataFrame,
        params: object = None,  # noqa: ARG002 - the same
    ) -> pd.DataFrame:
        """Tell."""
        column = model_input["a"]
        return pd.DataFrame(
            {
                "y": column * float(sklearn.__version__.split(".")[1]),
                "forest": self._forest.predict(column.to_numpy().reshape(-1, 1)),
                "pandas": float(pd.__version__.split(".")[0]),
            }
        )


mlflow.models.set_model(Learning())
