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
    "AWS_REGION": "eu-west-1",
    "PATH": "/bin",
}


def seen(worker_env: str) -> set[str]:
    """Return which of them model code gets."""
    return {name for name in EVERYTHING if WorkerVariables(worker_env).may_see(name)}


def test_model_code_gets_all_but_secrets() -> None:
    """Those of object stores among them, from which the next version is fetched."""
    assert seen("") == {"AWS_REGION", "PATH"}


@pytest.mark.parametrize(
    "name",
    [
        *("HF_TOKEN", "GITHUB_TOKEN", "OPENAI_API_KEY", "OTHER_APIKEY", "MY_SECRET", "my_secret"),
        *("DB_PASSWORD", "PGPASSWORD", "PGPASSFILE", "MYSQL_PWD", "REDIS_PASS", "GIT_PAT"),
        *("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN", "AZURE_CLIENT_SECRET"),
        *("AWS_WEB_IDENTITY_TOKEN_FILE", "AWS_CONTAINER_CREDENTIALS_FULL_URI", "NPM_AUTH"),
        *("AZURE_STORAGE_CONNECTION_STRING", "AZURE_STORAGE_ACCESS_KEY", "AZURE_STORAGE_SAS_TOKEN"),
        *("GOOGLE_APPLICATION_CREDENTIALS", "SENTRY_DSN", "SSH_AUTH_SOCK", "TLS_PRIVATE_KEY"),
        *("API_KEYS_FILE", "OIDC_CLIENT_SECRET", "OTEL_EXPORTER_OTLP_HEADERS", "SSL_KEY_FILE"),
        *("OTEL_EXPORTER_OTLP_TRACES_HEADERS", "UV_INDEX_PRIVATE_PASSWORD", "UV_PUBLISH_TOKEN"),
        # What the token endpoint of a managed identity of Azure's wants.
        *("IDENTITY_HEADER", "MSI_SECRET"),
    ],
)
def test_a_name_that_means_a_secret_is_kept_back(name: str) -> None:
    """Whatever its value is; WORKER_ENV passes it."""
    assert not WorkerVariables().may_see(name, "x")
    assert WorkerVariables(name).may_see(name, "x")


@pytest.mark.parametrize(
    "value",
    [
        "https://user:pass-word@pypi.example/simple",
        "https://t0ken@pypi.example/simple",
        "postgresql://u:p@db/app",
        "https://store.example/a?sig=abc",
        "Server=db;Password=x;",
        "-Djavax.net.ssl.keyStorePassword=changeit",
        "Authorization: Bearer 0123456789abcdef",
        "eyJhbGciOiJI.eyJzdWIiOiIx.SflKxwRJSMeK",
    ],
)
def test_a_value_that_has_a_secret_is_kept_back(value: str) -> None:
    """Whatever it is called: an index with its password, a proxy's, options of a JVM."""
    assert not WorkerVariables().may_see("PIP_INDEX_URL", value)
    assert WorkerVariables("PIP_*").may_see("PIP_INDEX_URL", value)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        *(("PWD", "/srv"), ("OLDPWD", "/"), ("PATH", "/usr/bin:/bin"), ("LANG", "C.UTF-8")),
        *(("TOKENIZERS_PARALLELISM", "false"), ("MAX_TOKENS", "512"), ("KEYBOARD", "de")),
        *(("OMP_NUM_THREADS", "4"), ("LD_PRELOAD", "libjemalloc.so"), ("AWS_PROFILE", "models")),
        *(("MLFLOW_S3_ENDPOINT_URL", "http://minio:9000"), ("HTTPS_PROXY", "http://proxy:3128")),
        *(("PIP_INDEX_URL", "https://pypi.example/simple"), ("COMPASS", "n"), ("AUTHOR", "me")),
        ("MALLOC_CONF", "background_thread:true,dirty_decay_ms:5000"),
        ("LS_COLORS", "rs=0:di=01;34:ln=01;36:*.tar=01;31"),
        ("PYTHONWARNINGS", "ignore::DeprecationWarning:token"),
    ],
)
def test_what_is_no_secret_stays(name: str, value: str) -> None:
    """A model finds what libraries are set up by."""
    assert WorkerVariables().may_see(name, value)


def test_what_exporters_need_goes_to_them_alone() -> None:
    """Credentials, and what WORKER_ENV keeps back; the address stays for a model that exports."""
    endpoint = {"OTEL_EXPORTER_OTLP_ENDPOINT": "http://collector:4318"}
    secret = {"OTEL_EXPORTER_OTLP_HEADERS": "k=h", "OTEL_EXPORTER_OTLP_TRACES_CLIENT_KEY": "/key"}
    environ = {**endpoint, **secret}
    assert WorkerVariables().withhold(environ) == {}
    assert environ == endpoint
    environ = {**endpoint, **secret}
    assert WorkerVariables().withhold_for_exporters(environ) == secret
    assert environ == endpoint
    environ = {**endpoint, **secret}
    passed = WorkerVariables("OTEL_EXPORTER_OTLP_HEADERS,-OTEL_EXPORTER_OTLP_ENDPOINT")
    assert set(passed.withhold_for_exporters(environ)) == {*endpoint, *secret} - set(environ)
    assert set(environ) == {"OTEL_EXPORTER_OTLP_HEADERS"}


@pytest.mark.parametrize(
    ("worker_env", "more", "less"),
    [
        ("DATABRICKS_TOKEN", {"DATABRICKS_TOKEN"}, set()),
        ("AWS_*", {"AWS_SECRET_ACCESS_KEY"}, set()),
        ("DATABRICKS_*,-AWS_*", {"DATABRICKS_TOKEN", "DATABRICKS_CLIENT_SECRET"}, {"AWS"}),
        (
            "DATABRICKS_*, -DATABRICKS_CLIENT_SECRET , -aws_secret_access_key",
            {"DATABRICKS_TOKEN"},
            set(),
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
    assert set(environ) == {"PATH"}
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
