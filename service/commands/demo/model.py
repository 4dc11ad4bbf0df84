"""The model of the demo, the tests and the benchmark: `archive-forecast-rf` on generated data.

It is built from scikit-learn alone, so that a worker can load it without any code of ours. Run as
`python -m service.commands.demo.model TRACKING_URI` it registers two versions that differ.
"""

import sys
import time
import urllib.request
import warnings
from typing import Any

import numpy as np
import pandas as pd

NAME = "archive-forecast-rf"
ALIAS = "champion"
OUTPUTS = ("archived_gb", "savings_gb")

_TENANTS = 24
_MONTHS_OF_VERSION = {"1": 9, "2": 48}
"""Version 2 is the better one: nine months are no whole year."""


def generate(months: int, seed: int = 0) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Make months of archiving for some tenants: a yearly season, growth, and noise.

    Returns the twelve input columns and the two outputs, a row for each month and tenant.
    """
    rng = np.random.default_rng(seed)
    starts = pd.date_range("2021-01-01", periods=months, freq="MS")
    month = np.repeat(np.arange(months), _TENANTS)
    size = np.tile(rng.lognormal(0.0, 0.5, _TENANTS), months)
    rows = months * _TENANTS
    # Much is archived when a business year ends, and little in summer.
    season = 1.0 + 0.45 * np.cos(2 * np.pi * (month % 12 - 11) / 12)
    growth = 1.015**month
    total_files = (20_000 * size * growth * rng.lognormal(0, 0.1, rows)).astype(np.int64) + 1
    avg_file_size_mb = rng.gamma(6.0, 0.3, rows) + 0.05
    shares = rng.dirichlet([5.0, 3.0, 2.0, 2.0], rows)
    tenant_count = rng.integers(1, 40, rows)
    archived_gb = total_files * avg_file_size_mb / 1024 * 0.3 * season
    archived_gb *= rng.lognormal(0, 0.05, rows)
    savings_gb = archived_gb * (0.25 + 0.4 * shares[:, 0] + 0.15 * shares[:, 1])
    inputs = pd.DataFrame(
        {
            "month": np.repeat(starts.strftime("%Y-%m-%d").to_numpy(), _TENANTS),
            "total_files": total_files,
            "avg_file_size_mb": avg_file_size_mb,
            "largest_file_mb": avg_file_size_mb * rng.lognormal(4.0, 0.6, rows),
            "pct_pdf": shares[:, 0],
            "pct_docx": shares[:, 1],
            "pct_xlsx": shares[:, 2],
            "archive_frequency_per_day": rng.gamma(4.0, 1.5, rows) * season,
            "storage_saved_gb": savings_gb * rng.lognormal(0, 0.3, rows),
            "deleted_files_count": rng.poisson(total_files * 0.01),
            "tenant_count": tenant_count,
            "site_count": tenant_count * rng.integers(1, 6, rows),
        }
    )
    outputs = pd.DataFrame(dict(zip(OUTPUTS, (archived_gb, savings_gb), strict=True)))
    return inputs, outputs


def train(
    seed: int = 0, months: int = 48, n_trees: int = 100
) -> tuple[Any, pd.DataFrame, pd.DataFrame]:
    """Fit the pipeline on generated months. Return it, its inputs and its outputs."""
    from sklearn.compose import ColumnTransformer  # noqa: PLC0415 - the module stays light
    from sklearn.ensemble import RandomForestRegressor  # noqa: PLC0415 - the same
    from sklearn.feature_extraction.text import CountVectorizer  # noqa: PLC0415 - the same
    from sklearn.pipeline import Pipeline  # noqa: PLC0415 - the same
    from sklearn.preprocessing import StandardScaler  # noqa: PLC0415 - the same

    inputs, outputs = generate(months, seed)
    numbers = [name for name in inputs.columns if name != "month"]
    # One column for each month of the year, taken from the middle of YYYY-MM-DD.
    season = CountVectorizer(
        lowercase=False,
        token_pattern=r"-(\d\d)-",  # noqa: S106 - a pattern, not a password
        vocabulary=[f"{number:02}" for number in range(1, 13)],
    )
    columns = ColumnTransformer(
        [("season", season, "month"), ("numbers", StandardScaler(), numbers)], sparse_threshold=0.0
    )
    forest = RandomForestRegressor(n_trees, min_samples_leaf=2, random_state=seed)
    pipeline = Pipeline([("columns", columns), ("forest", forest)])
    pipeline.fit(inputs, outputs)
    return pipeline, inputs, outputs


def register(
    tracking_uri: str, pipeline: Any, inputs: pd.DataFrame, *, name: str = NAME, **metrics: float
) -> str:
    """Log a fitted pipeline to MLflow as the next version of `name`. Return its number."""
    import mlflow  # noqa: PLC0415 - costs two seconds, and not all who train register
    import sklearn  # noqa: PLC0415 - the same
    from mlflow.models import infer_signature  # noqa: PLC0415 - the same

    mlflow.set_tracking_uri(tracking_uri)
    answers = pd.DataFrame(pipeline.predict(inputs.head(50)), columns=list(OUTPUTS))
    with warnings.catch_warnings(), mlflow.start_run():
        # A hint that integer columns hold no nulls: ours never do.
        warnings.filterwarnings("ignore", message="Hint: Inferred schema")
        mlflow.log_metrics(metrics)
        logged = mlflow.sklearn.log_model(
            pipeline,
            name="model",
            signature=infer_signature(inputs, answers),
            input_example=inputs.head(3),
            registered_model_name=name,
            serialization_format="cloudpickle",
            # Spelt out: finding them by loading the model in a process of its own takes long.
            pip_requirements=[
                f"mlflow=={mlflow.__version__}",
                f"scikit-learn=={sklearn.__version__}",
                f"pandas=={pd.__version__}",
                f"numpy=={np.__version__}",
            ],
        )
    return str(logged.registered_model_version)


def main(tracking_uri: str) -> None:
    """Register both versions with a server that may still be starting; promote the first one."""
    next_months, truth = generate(60)
    next_months, truth = next_months.tail(12 * _TENANTS), truth.tail(12 * _TENANTS)
    trained = []
    for version, months in _MONTHS_OF_VERSION.items():
        pipeline, inputs, _ = train(months=months)
        score = float(pipeline.score(next_months, truth))
        sys.stdout.write(f"version {version}: {months} months, r2 {score:.3f} on the next year\n")
        sys.stdout.flush()
        trained.append((pipeline, inputs, months, score))
    from mlflow import MlflowClient  # noqa: PLC0415 - as above

    _wait_for(tracking_uri)
    for pipeline, inputs, months, score in trained:
        register(tracking_uri, pipeline, inputs, months=months, r2_next_year=score)
    MlflowClient(tracking_uri).set_registered_model_alias(NAME, ALIAS, "1")


def _wait_for(server: str) -> None:
    """Wait until a server of this machine answers; what started this process sets the limit."""
    direct = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    while True:
        try:
            direct.open(f"{server}/health", timeout=5).close()
        except OSError:
            time.sleep(0.2)
        else:
            return


if __name__ == "__main__":
    main(sys.argv[1])
