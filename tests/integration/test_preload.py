"""A worker imports little of its own: what models need is there before it is forked."""

import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]
PREDICT = """
import sys
import service.workers.inside.preload

before = set(sys.modules)
import pandas
from sklearn.compose import ColumnTransformer
from sklearn.ensemble import RandomForestRegressor
from sklearn.pipeline import make_pipeline

frame = pandas.DataFrame({"a": [0.0, 1.0], "b": [1.0, 0.0]})
columns = ColumnTransformer([("all", "passthrough", ["a", "b"])])
make_pipeline(columns, RandomForestRegressor(2)).fit(frame, [0.0, 1.0]).predict(frame)
print("imported:", *sorted(set(sys.modules) - before))
"""


def test_a_first_prediction_imports_nothing() -> None:
    """Not even what scikit-learn leaves until it is given a frame."""
    done = subprocess.run(
        [sys.executable, "-c", PREDICT],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
        timeout=60,
    )
    assert done.stdout == "imported:\n", done.stderr
