"""A forest that is saved in whatever environment an interpreter has, by MLflow 2 or later."""

from pathlib import Path

_SCRIPT = """
import sys, warnings
warnings.simplefilter("ignore")
import mlflow.sklearn, numpy as np, pandas as pd
from mlflow.models import ModelSignature
from mlflow.types.schema import ColSpec, Schema
from sklearn.ensemble import RandomForestRegressor

folder, columns, trees, requirement = sys.argv[1:]
rows = pd.DataFrame(np.random.default_rng(0).normal(size=(500, int(columns))))
rows.columns = [f"x{number}" for number in range(int(columns))]
forest = RandomForestRegressor(int(trees), random_state=0)
forest.fit(rows, rows["x0"] * 2 + rows["x1"] ** 2)
mlflow.sklearn.save_model(
    forest,
    folder,
    signature=ModelSignature(
        Schema([ColSpec("double", name) for name in rows]), Schema([ColSpec("double")])
    ),
    serialization_format="cloudpickle",
    pip_requirements=[requirement],
    input_example=rows[:5],
)
"""


def saving_command(
    interpreter: str, folder: Path, *, columns: int, trees: int, requirement: str
) -> list[str]:
    """Return the command that saves a forest there: its columns are numbers, `x0` and further."""
    return [interpreter, "-c", _SCRIPT, str(folder), str(columns), str(trees), requirement]
