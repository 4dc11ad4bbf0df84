"""Which pointer the settings mean: a URI, or a name with a stage or an alias."""

import pytest

from service.core.versions import ModelRef
from service.settings.environment import load_settings
from service.settings.errors import SettingsError
from tests.support.read_settings import refused, the_one


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
    assert the_one(load_settings(values)).ref == ModelRef.parse(uri)


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
    assert the_one(load_settings(values)).reported_name == name
