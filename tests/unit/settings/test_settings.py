import ast
import inspect
import itertools
import textwrap
from pathlib import Path

import msgspec
import pytest

from service.core.versions import ModelRef
from service.settings import deployment as deployment_module
from service.settings import service as service_module
from service.settings.deployment import DeploymentSettings
from service.settings.environment import load_settings
from service.settings.errors import SettingsError
from service.settings.service import ServiceSettings
from service.settings.settings import FIELDS, Settings
from tests.support.read_settings import refused, the_one

ROOT = Path(__file__).parents[3]
MAY_BE_TINY = {
    "drain_timeout_s",
    "drain_lead_s",
    "probation_s",
    "probation_max_error_rate",
    "max_batch_wait_ms",
    "compiled_rtol",
    "compiled_wait_s",
}
"""Where zero means 'not at all', and what is next to it does no harm."""


def documented() -> dict[str, tuple[str, str]]:
    """Return each variable's default, as one writes it, and the docstring under its field."""
    body = [
        statement
        for module, name in (
            (deployment_module, "DeploymentSettings"),
            (service_module, "ServiceSettings"),
        )
        for node in ast.parse(inspect.getsource(module)).body
        if isinstance(node, ast.ClassDef) and node.name == name
        for statement in node.body
    ]
    found = {}
    defaults = {field.name: field.default for field in FIELDS}
    for field, text in itertools.pairwise(body):
        if (
            isinstance(field, ast.AnnAssign)
            and isinstance(field.target, ast.Name)
            and isinstance(text, ast.Expr)
            and isinstance(text.value, ast.Constant)
        ):
            name = field.target.id
            default = defaults[name]
            shown = f"{default:g}" if isinstance(default, float) else str(default)
            shown = shown.lower() if isinstance(default, bool) else shown
            found[name.upper()] = (shown, " ".join(str(text.value.value).split()))
    return found


def value_of(name: str, settings: Settings) -> object:
    """Return a setting's value, whether it is the service's or the only deployment's."""
    if hasattr(settings.service, name):
        return getattr(settings.service, name)
    return getattr(the_one(settings), name)


def test_every_field_has_a_docstring() -> None:
    """Each field is documented where it stands."""
    assert list(documented()) == [field.name.upper() for field in FIELDS]


def test_the_example_file_lists_every_variable_with_its_default() -> None:
    """`.env.example` holds each variable, commented, below its meaning."""
    blocks = []
    for name, (default, meaning) in documented().items():
        lines = textwrap.wrap(meaning, 96, break_on_hyphens=False)
        blocks.append("\n".join([*(f"# {line}" for line in lines), f"# {name}={default}"]))
    text = (ROOT / ".env.example").read_text(encoding="utf-8")
    assert text.split("\n\n", 1)[1] == "\n\n".join(blocks) + "\n"


def test_the_table_of_settings_has_every_setting() -> None:
    """The table of docs/settings.md has a row for each variable: its name, default and meaning."""
    text = (ROOT / "docs" / "settings.md").read_text(encoding="utf-8")
    rows = [
        f"| `{name}` | {f'`{default}`' if default else ''} | {meaning} |"
        for name, (default, meaning) in documented().items()
    ]
    assert "\n".join(rows) in text


def test_an_empty_environment_gives_the_defaults() -> None:
    """Nothing has to be set."""
    settings = load_settings({})
    assert settings.service == ServiceSettings()
    assert dict(settings.deployments) == {settings.default: DeploymentSettings()}
    assert the_one(settings).ref == ModelRef.parse("models:/archive-forecast-rf/Production")


def test_empty_variables_count_as_unset() -> None:
    """An empty or blank text is no value."""
    assert load_settings({field.name.upper(): " " for field in FIELDS}) == load_settings({})


def test_values_are_read_by_the_type_of_their_field() -> None:
    """Numbers, truth values, words in any case and paths become what they mean."""
    settings = load_settings(
        {
            "PORT": "0",
            "POLL_INTERVAL_S": "0.5",
            "KEEP_WARM": "False",
            "LOG_LEVEL": "DEBUG",
            "CACHE_DIR": "/var/cache/x",
            "ADMIN_TOKEN": " abc ",
        }
    )
    service, deployment = settings.service, the_one(settings)
    assert service.port == 0
    assert deployment.poll_interval_s == 0.5
    assert deployment.keep_warm is False
    assert service.log_level == "debug"
    assert service.cache_dir == Path("/var/cache/x").absolute()
    assert service.admin_token == "abc"  # noqa: S105 - of this test alone


def test_the_cache_folder_is_absolute() -> None:
    """A relative folder is meant from where the service was started."""
    assert ServiceSettings().cache_dir == Path.cwd() / ".hotswap"


def test_the_cache_folder_may_be_in_a_home_folder() -> None:
    """Whether a text says so or code does; where there is no such home, both are told."""
    at_home = ServiceSettings(cache_dir=Path("~/models"))
    assert at_home.cache_dir == Path.home() / "models"
    assert load_settings({"CACHE_DIR": "~/models"}).service == at_home
    with pytest.raises(SettingsError, match="no home folder is known for its '~'"):
        ServiceSettings(cache_dir=Path("~nobody-has-this-name/x"))


@pytest.mark.parametrize(
    ("name", "text", "allowed"),
    [
        ("port", "http", "a whole number from 0 to 65535"),
        ("port", "70000", "a whole number from 0 to 65535"),
        ("workers", "-1", "a whole number from 0 to 256"),
        ("workers", "1.5", "a whole number from 0 to 256"),
        ("keep_versions", "0", "a whole number from 1 to 10000"),
        ("poll_interval_s", "0", "a number from 0.01 to 86400"),
        ("poll_interval_s", "nan", "a number from 0.01 to 86400"),
        ("request_timeout_s", "inf", "a number from 0.01 to 86400"),
        ("request_timeout_s", "1e400", "a number from 0.01 to 86400"),
        ("drain_timeout_s", "-1", "a number from 0 to 86400"),
        ("max_batch_wait_ms", "nan", "a number from 0 to 10000"),
        ("unknown_fields", "maybe", "ignore or refuse"),
        ("admin_open", "perhaps", "true or false"),
        ("poll_interval_s", "1e-300", "a number from 0.01 to 86400"),
        ("poll_interval_s", "2MiB", "a number from 0.01 to 86400"),
        ("poll_interval_s", "s", "a number from 0.01 to 86400"),
        ("port", "8s", "a whole number from 0 to 65535"),
        ("max_body_bytes", "32M", "a whole number from 1024 to 1099511627776"),
        ("max_body_bytes", "1.0005kB", "a whole number from 1024 to 1099511627776"),
        ("poll_interval_s", "2,5", "a number from 0.01 to 86400"),
        ("port", "\u0668\u0660\u0660\u0660", "a whole number from 0 to 65535"),
        ("max_body_bytes", "1", "a whole number from 1024 to 1099511627776"),
        ("cache_dir", "~nobody-has-this-name/x", "a folder; no home folder is known for its '~'"),
        ("model_name", "x" * 257, "text of 256 characters at most"),
        (
            "allowed_hosts",
            "https://a/b",
            "names or addresses separated by commas, such as models.example.com, or *",
        ),
        ("metrics_compat", "triton,bento", "triton, kserve and mlserver, separated by commas"),
        ("metrics_compat", "triton,", "triton, kserve and mlserver, separated by commas"),
        (
            "worker_env",
            "A=1",
            "names of variables separated by commas, such as MY_TOKEN,-AWS_*",
        ),
        (
            "worker_env",
            "MY_TOKEN, admin_token,WEBHOOK_SECRET",
            "any variable but ADMIN_TOKEN and WEBHOOK_SECRET, known to the server process alone",
        ),
    ],
)
def test_a_wrong_value_names_variable_value_and_what_is_allowed(
    name: str, text: str, allowed: str
) -> None:
    """One line says which variable, what is wrong, and what is allowed."""
    shown = text if len(text) <= 80 else f"{text[:80]} ..."
    assert refused(**{name: text}) == f"{name.upper()}={shown} is wrong: allowed is {allowed}"


@pytest.mark.parametrize(
    ("name", "text", "value"),
    [
        ("poll_interval_s", ".2", 0.2),
        ("poll_interval_s", "2.", 2.0),
        ("poll_interval_s", "+2", 2.0),
        ("poll_interval_s", "1E1", 10.0),
        ("poll_interval_s", "'5'", 5.0),
        ("port", "8_000", 8000),
        ("max_body_bytes", "1e6", 1_000_000),
        ("workers", "2.0", 2),
        ("workers", '"2"', 2),
        ("keep_warm", "no", False),
        ("keep_warm", "OFF", False),
        ("keep_warm", "0", False),
        ("write_back", "yes", True),
        ("log_level", "'Debug'", "debug"),
        ("poll_interval_s", "2s", 2.0),
        ("poll_interval_s", "500 ms", 0.5),
        ("poll_interval_s", ".5s", 0.5),
        ("poll_interval_s", "1_0.S", 10.0),
        ("fetch_timeout_s", "15m", 900.0),
        ("probation_s", "'1.5h'", 5400.0),
        ("max_batch_wait_ms", "0.01s", 10.0),
        ("worker_spin_us", "0.3ms", 300),
        ("max_body_bytes", "32MiB", 33_554_432),
        ("max_body_bytes", "64 kB", 64_000),
        ("max_bodies_bytes", "1GiB", 2**30),
        ("raw_body_bytes", "0.5kib", 512),
    ],
)
def test_values_are_taken_as_people_write_them(name: str, text: str, value: object) -> None:
    """Numbers without a digit on one side, with a sign or a power; truth in other words."""
    assert value_of(name, load_settings({name.upper(): text})) == value


@pytest.mark.parametrize("field", FIELDS, ids=lambda field: field.name)
@pytest.mark.parametrize(
    "text",
    [
        "a\0b",
        "a\nb",
        "a\x1b[31mb",
        "a\x7fb",
        "a\u0085b",
        "a\u202eb",
        "a\u2066b",
        "a\u2028b",
        "a\udcffb",
        "x" * 100_000,
        "9" * 5_000,
        "-" * 50,
        "1e-300",
    ],
    ids=ascii,
)
def test_no_setting_takes_nonsense_or_shows_it_as_it_is(
    field: msgspec.structs.FieldInfo, text: str
) -> None:
    """Whatever the field: one short line that can be printed, or a value that is within bounds."""
    try:
        value = value_of(field.name, load_settings({field.name.upper(): text}))
    except SettingsError as error:
        line = str(error)
        assert line.isprintable()
        assert len(line) < 400
    else:
        assert str(value).isprintable()
        assert len(str(value)) <= 2200
        assert not isinstance(value, float) or value >= 1e-3 or field.name in MAY_BE_TINY


def test_every_duration_that_has_to_pass_has_a_lower_bound() -> None:
    """No timer is set for less than 10 ms by a setting: it would only keep the CPU busy."""
    for field in FIELDS:
        if field.name.endswith("_s") and field.default:
            kind = msgspec.inspect.type_info(field.type)
            assert isinstance(kind, msgspec.inspect.FloatType)
            assert kind.ge is not None, field.name
            assert kind.ge >= 0.01 or field.name in MAY_BE_TINY, field.name


def test_an_open_administration_and_a_token_disagree() -> None:
    """Both can't be meant; the token is not shown."""
    line = refused(admin_open="true", admin_token="geheim")  # noqa: S106 - of this test alone
    assert "ADMIN_OPEN" in line
    assert "ADMIN_TOKEN" in line
    assert "geheim" not in line


@pytest.mark.parametrize("name", ["admin_token", "webhook_secret"])
def test_a_wrong_secret_is_not_shown(name: str) -> None:
    """Its value appears in no line and no repr."""
    assert "geheim" not in refused(**{name: "geheim nis"})
    assert "geheim" not in repr(load_settings({name.upper(): "geheim"}))


def test_a_uri_without_host_is_refused_without_its_password() -> None:
    """An http URI needs a host; what stands before an '@' is not shown."""
    line = refused(mlflow_tracking_uri="http://user:geheim@:5000")
    assert line.startswith("MLFLOW_TRACKING_URI=http://***@:5000 is wrong")


def test_a_port_of_grpc_wants_its_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    """It is said at the start, with what to install."""
    assert load_settings({"MODEL_NAME": "m", "GRPC_PORT": "50051"}).service.grpc_port == 50051
    monkeypatch.setattr(service_module, "find_spec", lambda _: None)
    assert load_settings({"MODEL_NAME": "m"}).service.grpc_port == 0
    with pytest.raises(SettingsError, match=r"^GRPC_PORT=50051 is wrong: .*hotswap\[grpc\]"):
        load_settings({"MODEL_NAME": "m", "GRPC_PORT": "50051"})


@pytest.mark.parametrize("mode", ["auto", "own"])
def test_an_environment_of_its_own_wants_uv(mode: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """It is said at the start, with what to install; as a package or on PATH, either will do."""
    values = {"MODEL_NAME": "m", "ENVIRONMENT": mode}
    assert the_one(load_settings(values)).environment == mode
    monkeypatch.setattr(deployment_module, "find_spec", lambda _: None)
    monkeypatch.setattr("shutil.which", lambda _: "/usr/bin/uv")
    assert the_one(load_settings(values)).environment == mode
    monkeypatch.setattr("shutil.which", lambda _: None)
    with pytest.raises(SettingsError, match=rf"^ENVIRONMENT={mode} .*hotswap\[environments\]"):
        load_settings(values)
    assert the_one(load_settings({"MODEL_NAME": "m"})).environment == "shared"


def test_a_variable_that_many_programs_share_ends_no_start() -> None:
    """ENVIRONMENT=production was there before the setting: it is left out, and named."""
    settings = load_settings({"ENVIRONMENT": "production"})
    assert settings.defaults.environment == "shared"
    assert settings.left_out == ("ENVIRONMENT=production",)
    assert load_settings({"ENVIRONMENT": " 'SHARED' "}).left_out == ()


def test_models_may_have_environments_of_their_own(tmp_path: Path) -> None:
    """Each says so in its table, and the others share what the service has."""
    file = tmp_path / "models.toml"
    file.write_text(
        '[models.old]\nuri = "models:/old@champion"\n'
        'environment = "auto"\nenv_timeout_s = "10min"\n'
        '[models.new]\nuri = "models:/new@champion"\n',
        "utf-8",
    )
    found = load_settings({"MODELS_FILE": str(file)}).deployments
    assert (found["old"].environment, found["old"].env_timeout_s) == ("auto", 600)
    assert (found["new"].environment, found["new"].env_timeout_s) == ("shared", 1800)
