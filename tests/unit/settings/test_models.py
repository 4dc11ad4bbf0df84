"""`MODELS` and `MODELS_FILE`: several models, and what is wrong with them in one line."""

import os
import sys
from pathlib import Path

import pytest

from service.settings.deployment import DeploymentSettings
from service.settings.environment import load_settings
from service.settings.errors import SettingsError
from service.settings.models import read_models, read_models_file

DEFAULTS = DeploymentSettings(workers=3, probation_s=7.0)


def read(folder: Path, text: str | bytes) -> dict[str, DeploymentSettings]:
    """Read a file of this content."""
    file = folder / "models.toml"
    file.write_bytes(text if isinstance(text, bytes) else text.encode())
    return read_models_file(file, DEFAULTS)


def test_a_file_describes_each_model_and_the_environment_the_rest(tmp_path: Path) -> None:
    """Values may be TOML's own or texts, as in a variable; two names may mean one model."""
    read_now = read(
        tmp_path,
        """
        [models.forecast]
        uri = "models:/forecast@champion"
        workers = 2
        keep_warm = false
        [models."größe 1.5"]
        uri = "models:/forecast/Production"
        probation_s = "600"
        compiled = "off"
        """,
    )
    first, second = read_now["forecast"], read_now["größe 1.5"]
    assert (first.ref.uri, first.workers, first.keep_warm) == (
        "models:/forecast@champion",
        2,
        False,
    )
    assert (first.probation_s, second.probation_s, second.workers) == (7.0, 600.0, 3)
    assert (second.ref.label, second.compiled) == ("Production", "off")


def test_a_run_is_reported_under_its_name(tmp_path: Path) -> None:
    """It has no other."""
    assert read(tmp_path, "[models.mine]\nuri = 'runs:/abc/model'")["mine"].reported_name == "mine"


@pytest.mark.parametrize(
    ("text", "wrong"),
    [
        ("[models.a]", "[models.a]: a uri such as models:/NAME@ALIAS is missing"),
        ("[models]\na = 1", "[models.a]: a uri such as models:/NAME@ALIAS is missing"),
        ("[models.a]\nuri = 1", "is missing"),
        ("[models.a]\nuri = 'x'", "'x' is no model URI"),
        ("[models.a]\nuri = 'models:/a/1'\nworker = 2", "worker is no setting of a model; workers"),
        ("[models.a]\nuri = 'models:/a/1'\nport = 2", "port is no setting of a model"),
        ("[models.a]\nuri = 'models:/a/1'\nmodel_stage = 'x'", "model_stage is no setting"),
        ("[models.a]\nuri = 'models:/a/1'\nworkers = 0.5", "WORKERS=0.5 is wrong: allowed is"),
        ("[models.a]\nuri = 'models:/a/1'\nworkers = [2]", "allowed is a single value"),
        ("[models.a]\nuri = 'models:/a/1'\npoll_interval_s = nan", "POLL_INTERVAL_S=nan is wrong"),
        ("[models.a]\nuri = 'models:/a/1'\nmlflow_tracking_uri = 'http://'", "is wrong"),
        ("[models.'a/b']\nuri = 'models:/a/1'", "allowed is a name without"),
        ("[models.'..']\nuri = 'models:/a/1'", "allowed is a name without"),
        ("[models.'']\nuri = 'models:/a/1'", "allowed is a name without"),
        ("[model.a]\nuri = 'models:/a/1'", "model is none of [models.NAME]"),
        ("", "describes no model"),
        ("models = 3", "describes no model"),
        ("[models.a", "is no TOML"),
        (b"\xff\xfe", "is no TOML"),
        ("x = " + "[" * 5_000, "is no TOML"),
        (b"#" * 1_100_000, "1048576 bytes"),
    ],
)
def test_a_mistake_is_told_in_one_line_that_says_where(
    tmp_path: Path, text: str | bytes, wrong: str
) -> None:
    """The file, the table, what is wrong, what is allowed."""
    with pytest.raises(SettingsError) as caught:
        read(tmp_path, text)
    line = str(caught.value)
    assert line.startswith("MODELS_FILE (models.toml)")
    assert wrong in line
    assert "\n" not in line
    assert len(line) < 500


def test_a_file_that_is_not_there_is_told(tmp_path: Path) -> None:
    """As the system says it."""
    with pytest.raises(SettingsError, match="can't be read: No such file"):
        read_models_file(tmp_path / "models.toml", DEFAULTS)


@pytest.mark.skipif(sys.platform == "win32", reason="there are no named pipes in folders")
def test_what_would_be_waited_for_is_not_read(tmp_path: Path) -> None:
    """A pipe that nobody writes to would hold up the start, or the end."""
    os.mkfifo(tmp_path / "models.toml")
    with pytest.raises(SettingsError, match="no regular file"):
        read_models_file(tmp_path / "models.toml", DEFAULTS)


def test_the_number_of_models_is_bounded(tmp_path: Path) -> None:
    """Each has processes of its own."""
    tables = "".join(f"[models.m{number}]\nuri='models:/m/1'\n" for number in range(1001))
    with pytest.raises(SettingsError, match="allowed are 1000 models"):
        read(tmp_path, tables)


def test_the_short_form_names_each_pointer() -> None:
    """Spaces and empty entries do no harm; a pointer may have an `=`."""
    found = read_models("a=models:/x@y, b = models:/z=1/Production,", DEFAULTS)
    assert {name: one.ref.uri for name, one in found.items()} == {
        "a": "models:/x@y",
        "b": "models:/z=1/Production",
    }
    assert found["b"].workers == 3


@pytest.mark.parametrize(
    ("text", "wrong"),
    [
        ("a", "MODELS, a is wrong: allowed is NAME=URI, separated by commas"),
        ("a=models:/a/1,a=models:/a/2", "one pointer for each name, and a has another one"),
        ("a=nonsense", "'nonsense' is no model URI"),
        ("a:b=models:/a/1", "allowed is a name without"),
    ],
)
def test_a_mistake_in_the_short_form_is_told(text: str, wrong: str) -> None:
    """With the entry that it is in."""
    with pytest.raises(SettingsError) as caught:
        read_models(text, DEFAULTS)
    assert wrong in str(caught.value)


@pytest.mark.parametrize(
    ("values", "named"),
    [
        ({"MODELS_FILE": "f"}, "MODELS_FILE"),
        ({"MODEL_URI": "models:/a/1"}, "MODEL_URI"),
        ({"MODEL_NAME": "a"}, "MODEL_NAME"),
        ({"MODEL_STAGE": "Production"}, "MODEL_STAGE"),
        ({"MODEL_ALIAS": "a"}, "MODEL_ALIAS"),
    ],
)
def test_models_stand_in_one_place(values: dict[str, str], named: str) -> None:
    """A list beside a file or a pointer: nobody could say which is meant."""
    with pytest.raises(SettingsError, match=f"MODELS and {named} disagree"):
        load_settings({"MODELS": "a=models:/a/1", **values})


def test_the_default_is_one_of_them() -> None:
    """The only one needs no naming; of several none is it by itself."""
    two = "a=models:/a/1,b=models:/b/1"
    assert load_settings({"MODELS": two}).default == ""
    assert load_settings({"MODELS": two, "DEFAULT_MODEL": "b"}).default == "b"
    assert load_settings({"MODELS": "a=models:/a/1"}).default == "a"
    with pytest.raises(SettingsError, match="DEFAULT_MODEL=c is wrong: allowed is one of a, b"):
        load_settings({"MODELS": two, "DEFAULT_MODEL": "c"})
