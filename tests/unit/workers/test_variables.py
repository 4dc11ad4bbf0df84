"""Which variables model code gets."""

import pytest

from service.workers.variables import WorkerVariables

EVERYTHING = {
    "ADMIN_TOKEN": "a",
    "WEBHOOK_SECRET": "w",
    "MLFLOW_TRACKING_TOKEN": "t",
    "MLFLOW_TRACKING_USERNAME": "u",
    "mlflow_tracking_password": "p",
    "MLFLOW_TRACKING_URI": "http://u:p@registry.example",
    "DATABRICKS_TOKEN": "d",
    "DATABRICKS_CLIENT_SECRET": "c",
    "AWS_SECRET_ACCESS_KEY": "s",
    "AZURE_STORAGE_CONNECTION_STRING": "z",
    "PATH": "/bin",
}


def seen(worker_env: str) -> set[str]:
    """Return which of them model code gets."""
    return {name for name in EVERYTHING if WorkerVariables(worker_env).may_see(name)}


def test_model_code_gets_all_but_credentials_of_service_and_registry() -> None:
    """Those of object stores stay: models read from there."""
    assert seen("") == {"AWS_SECRET_ACCESS_KEY", "AZURE_STORAGE_CONNECTION_STRING", "PATH"}


@pytest.mark.parametrize(
    ("worker_env", "more", "less"),
    [
        ("DATABRICKS_TOKEN", {"DATABRICKS_TOKEN"}, set()),
        ("DATABRICKS_*,-AWS_*", {"DATABRICKS_TOKEN", "DATABRICKS_CLIENT_SECRET"}, {"AWS"}),
        (
            "DATABRICKS_*, -DATABRICKS_CLIENT_SECRET , -aws_secret_access_key",
            {"DATABRICKS_TOKEN"},
            {"AWS"},
        ),
        ("ADMIN_TOKEN,WEBHOOK_*", set(), set()),
    ],
)
def test_worker_env_passes_and_keeps_back(worker_env: str, more: set[str], less: set[str]) -> None:
    """By names or what they begin with; the service's own secrets can't be passed."""
    before = {name for name in seen("") if not name.startswith(tuple(less))}
    assert seen(worker_env) == before | more


def test_what_is_withheld_is_gone_and_goes_to_the_registry_processes() -> None:
    """The service's own secrets go nowhere."""
    environ = dict(EVERYTHING)
    credentials = WorkerVariables("-AWS_*").withhold(environ)
    assert set(environ) == {"AZURE_STORAGE_CONNECTION_STRING", "PATH"}
    gone = set(EVERYTHING) - set(environ) - {"ADMIN_TOKEN", "WEBHOOK_SECRET"}
    assert credentials == {name: EVERYTHING[name] for name in gone}


@pytest.mark.parametrize(
    ("uri", "bare"),
    [
        ("http://registry.example:5000/a", "http://registry.example:5000/a"),
        ("http://u:p@registry.example:5000/a", "http://registry.example:5000/a"),
        ("http://token@registry.example", "http://registry.example"),
        ("http://u:p@ss@registry.example", "http://registry.example"),
        ("postgresql://u:p@db/mlflow?sslpassword=x", "postgresql://db/mlflow"),
        ("http://u:pa/ss@registry.example", ""),
        ("sqlite:////var/mlflow.db", "sqlite:////var/mlflow.db"),
        ("databricks-uc", "databricks-uc"),
        ("http://[::1", ""),
    ],
)
def test_model_code_gets_the_registrys_address_without_its_credentials(uri: str, bare: str) -> None:
    """User, password and query are left out, unless WORKER_ENV passes the whole."""
    given = {"MLFLOW_TRACKING_URI": uri, "MLFLOW_TRACKING_TOKEN": "t", "OTHER": "o"}
    told = WorkerVariables().without_credentials(given)
    assert told == {"MLFLOW_TRACKING_URI": bare, "OTHER": "o"}
    whole = WorkerVariables("MLFLOW_TRACKING_*").without_credentials(given)
    assert whole == given
