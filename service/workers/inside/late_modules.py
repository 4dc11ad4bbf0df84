"""Modules that a worker imports when they are first needed, beside those of engines."""

from service.codecs import catalog as codecs
from service.predictors.engines import catalog as engines

SCORING_SERVER = "mlflow.pyfunc.scoring_server"
"""MLflow's own code, which wants more packages than an environment may have."""


def late_modules() -> list[str]:
    """Return all modules that may be imported after the model is loaded."""
    return [*codecs.late_modules(), *engines.modules(), SCORING_SERVER]
