import ast
import inspect
import itertools
import os
import textwrap
from pathlib import Path

import msgspec
import pytest

from service import settings as settings_module
from service.core.versions import ModelRef
from service.settings import Settings, SettingsError, load_settings, read_dotenv

ROOT = Path(__file__).parents[2]
FIELDS = msgspec.structs.fields(Settings)


def documented() -> dict[str, tuple[str, str]]:
    """Return each variable's default, as one writes it, and the docstring under its field."""
    module = ast.parse(inspect.getsource(settings_module))
    body = next(
        node.body
        for node in module.body
        if isinstance(node, ast.ClassDef) and node.name == "Settings"
    )
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


def refused(**values: str) -> str:
    """Return the line that these values are refused with."""
    with pytest.raises(SettingsError) as caught:
        load_settings({name.upper(): value for name, value in values.items()})
    line = str(caught.value)
    assert "\n" not in line
    return line


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


def test_the_readme_table_has_every_setting() -> None:
    """The README's table has a row for each variable: its name, default and meaning."""
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    rows = [
        f"| `{name}` | {f'`{default}`' if default else ''} | {meaning} |"
        for name, (default, meaning) in documented().items()
    ]
    assert "\n".join(rows) in text


def test_an_empty_environment_gives_the_defaults() -> None:
    """Nothing has to be set."""
    settings = load_settings({})
    assert settings == Settings()
    assert settings.ref == ModelRef.parse("models:/archive-forecast-rf/Production")


def test_empty_variables_count_as_unset() -> None:
    """An empty or blank text is no value."""
    assert load_settings({field.name.upper(): " " for field in FIELDS}) == Settings()


def test_values_are_read_by_the_type_of_their_field() -> None:
    """Numbers, truth values, words in any case and paths become what they mean."""
    settings = load_settings(
        {
            "PORT": "0",
            "POLL_INTERVAL_S": "0.5",
            "ADMIN_OPEN": "True",
            "LOG_LEVEL": "DEBUG",
            "CACHE_DIR": "/var/cache/x",
            "ADMIN_TOKEN": " abc ",
        }
    )
    assert settings.port == 0
    assert settings.poll_interval_s == 0.5
    assert settings.admin_open is True
    assert settings.log_level == "debug"
    assert settings.cache_dir == Path("/var/cache/x").absolute()
    assert settings.admin_token == "abc"  # noqa: S105 - of this test alone


def test_the_cache_folder_is_absolute() -> None:
    """A relative folder is meant from where the service was started."""
    assert Settings().cache_dir == Path.cwd() / ".hotswap"


@pytest.mark.parametrize(
    ("name", "text", "allowed"),
    [
        ("port", "http", "a whole number from 0 to 65535"),
        ("port", "70000", "a whole number from 0 to 65535"),
        ("workers", "0", "a whole number from 1 to 256"),
        ("workers", "1.5", "a whole number from 1 to 256"),
        ("keep_versions", "0", "a whole number from 1 to 10000"),
        ("poll_interval_s", "0", "a number over 0, at most 86400"),
        ("poll_interval_s", "nan", "a number over 0, at most 86400"),
        ("request_timeout_s", "inf", "a number over 0, at most 86400"),
        ("request_timeout_s", "1e400", "a number over 0, at most 86400"),
        ("drain_timeout_s", "-1", "a number from 0 to 86400"),
        ("max_batch_wait_ms", "nan", "a number from 0 to 10000"),
        ("unknown_fields", "maybe", "ignore or refuse"),
        ("admin_open", "perhaps", "true or false"),
    ],
)
def test_a_wrong_value_names_variable_value_and_what_is_allowed(
    name: str, text: str, allowed: str
) -> None:
    """One line says which variable, what is wrong, and what is allowed."""
    assert refused(**{name: text}) == f"{name.upper()}={text} is wrong: allowed is {allowed}"


@pytest.mark.parametrize("name", ["admin_token", "webhook_secret"])
def test_a_wrong_secret_is_not_shown(name: str) -> None:
    """Its value appears in no line and no repr."""
    assert "geheim" not in refused(**{name: "geheim nis"})
    assert "geheim" not in repr(load_settings({name.upper(): "geheim"}))


def test_a_uri_without_host_is_refused_without_its_password() -> None:
    """An http URI needs a host; what stands before an '@' is not shown."""
    line = refused(mlflow_tracking_uri="http://user:geheim@:5000")
    assert line.startswith("MLFLOW_TRACKING_URI=http://***@:5000 is wrong")


@pytest.mark.parametrize(
    ("values", "uri"),
    [
        ({"MODEL_NAME": "other"}, "models:/other/Production"),
        ({"MODEL_STAGE": "staging"}, "models:/archive-forecast-rf/Staging"),
        ({"MODEL_STAGE": "3"}, "models:/archive-forecast-rf/3"),
        ({"MODEL_STAGE": "Latest"}, "models:/archive-forecast-rf/latest"),
        ({"MODEL_ALIAS": "champion"}, "models:/archive-forecast-rf@champion"),
        ({"MODEL_ALIAS": "@champion", "MODEL_NAME": "other"}, "models:/other@champion"),
        ({"MODEL_URI": "models:/other@champion"}, "models:/other@champion"),
        ({"MODEL_URI": "runs:/abc/model"}, "runs:/abc/model"),
        ({"MODEL_URI": "models:/m-12ab"}, "models:/m-12ab"),
        (
            {"MODEL_URI": "models:/x/Production", "MODEL_STAGE": "PRODUCTION"},
            "models:/x/Production",
        ),
        ({"MODEL_URI": "models:/x@b", "MODEL_NAME": "x", "MODEL_ALIAS": "b"}, "models:/x@b"),
    ],
)
def test_the_pointer_is_read_in_each_of_its_forms(values: dict[str, str], uri: str) -> None:
    """A URI, or a name with a stage or an alias; the same meaning twice is fine."""
    assert load_settings(values).ref == ModelRef.parse(uri)


@pytest.mark.parametrize(
    ("values", "named"),
    [
        ({"MODEL_STAGE": "Staging", "MODEL_ALIAS": "champion"}, ["MODEL_STAGE", "MODEL_ALIAS"]),
        ({"MODEL_URI": "models:/x/3", "MODEL_STAGE": "4"}, ["MODEL_URI", "MODEL_STAGE"]),
        ({"MODEL_URI": "models:/x/3", "MODEL_ALIAS": "b"}, ["MODEL_URI", "MODEL_ALIAS"]),
        ({"MODEL_URI": "runs:/abc/m", "MODEL_STAGE": "latest"}, ["MODEL_URI", "MODEL_STAGE"]),
        (
            {"MODEL_URI": "models:/x/3", "MODEL_NAME": "archive-forecast-rf"},
            ["MODEL_URI", "MODEL_NAME"],
        ),
    ],
)
def test_two_pointers_that_disagree_are_refused(values: dict[str, str], named: list[str]) -> None:
    """Both variables are named, with their values."""
    with pytest.raises(SettingsError) as caught:
        load_settings(values)
    assert all(f"{name}={values[name]}" in str(caught.value) for name in named)


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("model_uri", "file:///x"),
        ("model_stage", "Prod"),
        ("model_alias", "a b"),
        ("model_name", "a/b"),
    ],
)
def test_a_pointer_that_means_nothing_is_refused(name: str, text: str) -> None:
    """The variable, its value and what is allowed are in the line."""
    line = refused(**{name: text})
    assert name.upper() in line
    assert text in line
    assert "allowed" in line


@pytest.mark.parametrize(
    ("values", "name"),
    [
        ({}, "archive-forecast-rf"),
        ({"MODEL_URI": "models:/x/3"}, "x"),
        ({"MODEL_URI": "runs:/abc/model"}, ""),
        ({"MODEL_URI": "runs:/abc/model", "MODEL_NAME": "mine"}, "mine"),
    ],
)
def test_the_reported_name_is_the_pointers_or_the_one_given(
    values: dict[str, str], name: str
) -> None:
    """A run is named by MODEL_NAME, and never by that variable's default."""
    assert load_settings(values).reported_name == name


def test_a_dotenv_file_fills_in_but_never_overrides(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Variables that are set already win over `.env`, whose byte order mark is no part of it."""
    monkeypatch.setenv("PORT", "9000")
    monkeypatch.setenv("MODEL_ALIAS", "to be removed after the test")
    monkeypatch.delenv("MODEL_ALIAS")
    monkeypatch.chdir(tmp_path)
    (tmp_path / ".env").write_text("MODEL_ALIAS=champion\nPORT=1\n", encoding="utf-8-sig")
    read_dotenv()
    assert os.environ["MODEL_ALIAS"] == "champion"
    assert os.environ["PORT"] == "9000"


def test_a_dotenv_file_that_is_no_text_is_refused(tmp_path: Path) -> None:
    """UTF-16, which PowerShell's '>' writes, is named rather than misread."""
    file = tmp_path / ".env"
    file.write_text("PORT=1", encoding="utf-16")
    with pytest.raises(SettingsError, match="allowed is UTF-8 text"):
        read_dotenv(file)


def test_no_dotenv_file_is_no_error(tmp_path: Path) -> None:
    """The file is optional."""
    read_dotenv(tmp_path / ".env")
